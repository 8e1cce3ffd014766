"""HTTP and process metrics."""

import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import httpx2
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from shared.http.app import create_base_app
from shared.runtime.metrics import VERSION, process_registry
from shared.runtime.settings import HttpLimits


@asynccontextmanager
async def empty_lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


def app_with_route() -> tuple[FastAPI, CollectorRegistry]:
    """An application with one route below the prefix of a router; it fails for the client with id 0."""
    registry = CollectorRegistry()
    app = create_base_app("test", "", HttpLimits(100), empty_lifespan, registry)
    router = APIRouter(prefix="/clients/{client_id}")

    @router.put("/status")
    async def put_status(client_id: UUID) -> None:
        if client_id.int == 0:
            raise RuntimeError("a mistake of ours")

    app.include_router(router)
    return app, registry


def request_counts(registry: CollectorRegistry) -> dict[tuple[str, str, str], float]:
    return {
        (s.labels["method"], s.labels["route"], s.labels["status"]): s.value
        for metric in registry.collect()
        for s in metric.samples
        if s.name == "attune_http_requests_total"
    }


async def test_a_request_is_counted_by_its_route_and_never_by_its_path() -> None:
    app, registry = app_with_route()
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app, raise_app_exceptions=False), base_url="http://test"
    ) as client:
        for path in (UUID(int=0), UUID(int=1), UUID(int=2), "not-an-id"):
            await client.put(f"/clients/{path}/status")
        await client.put("/clients/1/secret")
        await client.request("BREW", f"/clients/{UUID(int=1)}/status")
        await client.put(f"/clients/{UUID(int=1)}/status", content=b"x" * 101)

    route = "/clients/{client_id}/status"
    assert request_counts(registry) == {
        ("PUT", route, "500"): 1,
        ("PUT", route, "200"): 2,
        ("PUT", route, "422"): 1,
        ("PUT", "other", "404"): 1,
        ("other", route, "405"): 1,
        ("PUT", "other", "413"): 1,
    }


async def test_a_response_is_timed_until_it_starts() -> None:
    app, registry = app_with_route()
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        await client.put(f"/clients/{UUID(int=1)}/status")

    labels = {"method": "PUT", "route": "/clients/{client_id}/status"}
    assert registry.get_sample_value("attune_http_request_seconds_count", labels) == 1


def test_the_build_metric_shows_the_version_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]

    assert project["version"] == VERSION
    assert process_registry().get_sample_value("attune_build_info", {"version": VERSION}) == 1
