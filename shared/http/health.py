"""Liveness, readiness and metrics endpoints."""

from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Check = Callable[[], bool | Awaitable[bool]]


def add_health_routes(
    app: FastAPI, *, liveness: Callable[[], bool], readiness: Mapping[str, Check], registry: CollectorRegistry
) -> None:
    """Add `/health/live`, `/health/ready` and `/metrics`.

    Not alive means that only a restart helps. Not ready means to wait: nothing is lost meanwhile.
    """

    @app.get(
        "/health/live",
        tags=["operations"],
        responses={503: {"description": "Not alive: the process must be restarted."}},
    )
    async def live() -> JSONResponse:
        """Whether the process works; if not, only a restart helps."""
        return JSONResponse({"alive": liveness()}, 200 if liveness() else 503)

    @app.get(
        "/health/ready",
        tags=["operations"],
        responses={503: {"description": "Not ready: the checks that are false say why."}},
    )
    async def ready() -> JSONResponse:
        """Whether everything that the service needs is available."""
        outcomes = {name: await _run_check(check) for name, check in readiness.items()}
        return JSONResponse(outcomes, 200 if all(outcomes.values()) else 503)

    @app.get("/metrics", tags=["operations"], response_class=PlainTextResponse)
    async def metrics() -> Response:
        """The metrics, for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


async def _run_check(check: Check) -> bool:
    outcome = check()
    return await outcome if isawaitable(outcome) else outcome
