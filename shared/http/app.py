"""The HTTP application that all services start from; each adds its routes."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry
from starlette.datastructures import Headers
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.docs import add_docs_routes
from shared.http.error_pages import ErrorPage
from shared.http.json_body import reject_repeated_names
from shared.http.metrics import HttpMetrics, HttpMetricsMiddleware
from shared.http.problems import RESPONSES, add_problem_handlers, shutdown_response, too_large_response
from shared.http.protection import ProtectionMiddleware
from shared.http.query_parameters import reject_unknown_query_parameters
from shared.runtime.settings import HttpLimits


def create_base_app(
    title: str,
    description: str,
    limits: HttpLimits,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    registry: CollectorRegistry,
    error_page: ErrorPage | None = None,
) -> FastAPI:
    """An application that answers errors with problem details and rejects what exceeds `limits`.

    People get `error_page` instead of problem details. Its responses are counted in `registry`.
    """
    app = FastAPI(
        title=title,
        description=description,
        version="1",
        lifespan=lifespan,
        responses=RESPONSES,
        dependencies=[Depends(reject_unknown_query_parameters), Depends(reject_repeated_names)],
        openapi_url="/openapi.json" if limits.has_docs else None,
        docs_url=None,  # ours, below; FastAPI's needs the internet
        redoc_url=None,
        redirect_slashes=False,  # behind the gateway, the redirect would lose the path's prefix and https
    )
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=limits.max_body_bytes)
    app.add_middleware(BodyLimitMiddleware, body_limit=limits.max_body_bytes)
    app.add_middleware(ShutdownMiddleware)
    app.add_middleware(ProtectionMiddleware, allowed_hosts=limits.allowed_hosts)
    app.add_middleware(HttpMetricsMiddleware, metrics=HttpMetrics(registry))
    app.add_middleware(HeadMiddleware)
    add_problem_handlers(app)
    if limits.has_docs:
        add_docs_routes(app)
    app.state.registry = registry
    app.state.error_page = error_page
    return app


class BodyLimitMiddleware:
    """Rejects a body with too large a Content-Length with problem details; Starlette answers it with plain text."""

    def __init__(self, app: ASGIApp, body_limit: int) -> None:
        self._app = app
        self._body_limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        content_length = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        if content_length.isdecimal() and int(content_length) > self._body_limit:
            await too_large_response(scope, self._body_limit)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class ShutdownMiddleware:
    """Answers a request that is still running when the service shuts down: the client may send it again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            if scope["type"] != "http" or has_started:
                raise
            await shutdown_response(scope)(scope, receive, send)


class HeadMiddleware:
    """Answers HEAD, which link checkers and previews send, like GET without the body; our GETs change nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})  # ends the response, even if it is a stream

        if scope["type"] == "http" and scope["method"] == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, send_head)
        else:
            await self._app(scope, receive, send)
