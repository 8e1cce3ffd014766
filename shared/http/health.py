"""Liveness, readiness and metrics endpoints."""

from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Check = Callable[[], bool | Awaitable[bool]]


def add_health_routes(
    ops: FastAPI, *, liveness: Callable[[], bool], readiness: Mapping[str, Check], registry: CollectorRegistry
) -> None:
    """Add `/health/live`, `/health/ready` and `/metrics` to an ops application.

    Not alive means that only a restart helps. Not ready means to wait: nothing is lost meanwhile.
    """

    @ops.get("/health/live")
    async def live() -> JSONResponse:
        """Whether the process works; if not, only a restart helps."""
        return JSONResponse({"alive": liveness()}, 200 if liveness() else 503)

    @ops.get("/health/ready")
    async def ready() -> JSONResponse:
        """Whether everything that the service needs is available."""
        outcomes = {name: await _run_check(check) for name, check in readiness.items()}
        return JSONResponse(outcomes, 200 if all(outcomes.values()) else 503)

    @ops.get("/metrics")
    async def metrics() -> Response:
        """The metrics, for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


async def _run_check(check: Check) -> bool:
    outcome = check()
    return await outcome if isawaitable(outcome) else outcome
