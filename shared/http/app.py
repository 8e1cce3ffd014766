"""The HTTP application that all services start from; each adds its routes."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from fastapi import Depends, FastAPI, Request
from prometheus_client import CollectorRegistry
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from shared.http.error_pages import ErrorPage
from shared.http.json_body import reject_repeated_names
from shared.http.metrics import HttpMetrics, HttpMetricsMiddleware
from shared.http.middleware import BodyLimitMiddleware, HeadMiddleware, ShutdownMiddleware
from shared.http.ops import create_ops_app
from shared.http.problems import RESPONSES, add_problem_handlers
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
    authorize: Callable[[Request], Awaitable[None]] | None = None,
) -> FastAPI:
    """An application that answers errors with problem details and rejects what exceeds `limits`.

    Every request is authorized first. People get `error_page` instead of problem details. Its responses are counted in
    `registry`. Its ops application (`ops_app`) is served on a listener of its own.
    """
    metrics = HttpMetrics(registry)
    dependencies = [reject_unknown_query_parameters, reject_repeated_names]
    app = FastAPI(
        title=title,
        description=description,
        version="1",
        lifespan=lifespan,
        responses=RESPONSES,
        dependencies=[Depends(dependency) for dependency in (authorize, *dependencies) if dependency],
        openapi_url=None,  # on the ops listener, if at all
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # behind the gateway, the redirect would lose the path's prefix and https
    )
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=limits.max_body_bytes)
    app.add_middleware(BodyLimitMiddleware, body_limit=limits.max_body_bytes)
    app.add_middleware(ShutdownMiddleware)
    app.add_middleware(ProtectionMiddleware, allowed_hosts=limits.allowed_hosts)
    app.add_middleware(HttpMetricsMiddleware, metrics=metrics)
    app.add_middleware(HeadMiddleware)
    add_problem_handlers(app)
    app.state.ops = create_ops_app(title, limits, metrics, described_api=app)
    app.state.registry = registry
    app.state.error_page = error_page
    return app
