"""Middleware that answers what no route should have to: bodies that are too large, a shutdown, and HEAD."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.problems import shutdown_response, too_large_response


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
