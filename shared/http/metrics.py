"""HTTP metrics, the same in every service."""

import time

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.runtime.metric_specs import CounterSpec, HistogramSpec

METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"})
"""Methods with a label of their own. A client can invent others, and each would create a time series."""
OTHER_LABEL = "other"
"""The label of any other method, and of a path without a route."""


HTTP_REQUESTS = CounterSpec(
    "attune_http_requests",
    "Requests answered, by route template and never by path; `other` is any path without a route.",
    {"method": None, "route": None, "status": None},
)
HTTP_REQUEST_SECONDS = HistogramSpec(
    "attune_http_request_seconds",
    "Time from the arrival of a request to the start of its response.",
    {"method": None, "route": None},
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


class HttpMetrics:
    """Metrics of requests by route."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = HTTP_REQUESTS.create(registry)
        self._seconds = HTTP_REQUEST_SECONDS.create(registry)

    def observe_response(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)


class HttpMetricsMiddleware:
    """Counts requests by route, and measures the time until the response starts; a stream may last for hours."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at, is_observed = time.perf_counter(), False

        def observe(status: int) -> None:
            nonlocal is_observed
            if not is_observed:
                is_observed = True
                self._metrics.observe_response(
                    _method_label(scope), _route_label(scope), status, time.perf_counter() - started_at
                )

        async def send_and_observe(message: Message) -> None:
            if message["type"] == "http.response.start":
                observe(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_and_observe)
        except Exception:
            observe(500)  # an outer middleware sends the response
            raise


def _method_label(scope: Scope) -> str:
    return scope["method"] if scope["method"] in METHODS else OTHER_LABEL


def _route_label(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", OTHER_LABEL))
