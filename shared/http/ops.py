"""The ops application: what operators and their tools read, on a listener of its own.

A gateway that leads to the API cannot lead to it by mistake, whatever the path.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.http.docs import add_docs_routes
from shared.http.metrics import HttpMetrics, HttpMetricsMiddleware
from shared.http.middleware import HeadMiddleware
from shared.http.problems import add_problem_handlers
from shared.http.protection import ProtectionMiddleware
from shared.runtime.settings import HttpLimits


def create_ops_app(
    title: str,
    limits: HttpLimits,
    metrics: HttpMetrics,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
    described_api: FastAPI | None = None,
) -> FastAPI:
    """An application for operators; `add_health_routes` completes it.

    Its responses are counted in `metrics`. It shows the documentation of `described_api` if `limits` ask for it.
    """
    ops = FastAPI(
        title=title, lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    ops.add_middleware(ProtectionMiddleware, allowed_hosts=limits.allowed_hosts)
    ops.add_middleware(HttpMetricsMiddleware, metrics=metrics)
    ops.add_middleware(HeadMiddleware)
    add_problem_handlers(ops)
    if described_api and limits.has_docs:
        add_docs_routes(ops, described_api)
    return ops


def ops_app(app: FastAPI) -> FastAPI:
    """The ops application of a service."""
    ops: FastAPI = app.state.ops
    return ops


class OpsRouter:
    """Gives requests that arrive at the ops port to the ops application, and all others to the API.

    The port is that of the socket: no header can name another. One server has both sockets, so both end together.
    """

    def __init__(self, app: FastAPI, ops_port: int) -> None:
        self._api: ASGIApp = app
        self._ops: ASGIApp = ops_app(app)
        self._ops_port = ops_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address: Any = scope.get("server")  # absent from the lifespan, which is the API's
        is_ops = address is not None and address[1] == self._ops_port
        await (self._ops if is_ops else self._api)(scope, receive, send)
