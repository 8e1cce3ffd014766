"""Health, metrics and docs are served at the ops port only, and the API at the other."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import product

import httpx2
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from shared.http.app import create_base_app
from shared.http.health import add_health_routes
from shared.http.ops import OpsRouter, ops_app
from shared.runtime.settings import HttpLimits
from tests.support.serving import ServiceClient, run_app
from tests.support.unreachable_service import open_ops, open_service
from tools.contracts.documents import SERVICES

every_service = pytest.mark.parametrize("service", SERVICES)
OPS_PATHS = ("/health/live", "/health/ready", "/metrics")


@asynccontextmanager
async def empty_lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


def service() -> FastAPI:
    """A service with one route, which counts its requests."""
    registry = CollectorRegistry()
    app = create_base_app("Test", "", HttpLimits(1_000), empty_lifespan, registry)
    add_health_routes(ops_app(app), liveness=lambda: True, readiness={"store": lambda: True}, registry=registry)

    @app.get("/relationships")
    async def relationships() -> int:
        return 7

    return app


@pytest.fixture
async def client() -> AsyncIterator[ServiceClient]:
    async with run_app(service()) as client:
        yield client


@pytest.mark.parametrize("path", OPS_PATHS)
async def test_health_and_metrics_are_at_the_ops_port_only(client: ServiceClient, path: str) -> None:
    assert (await client.get_ops(path)).status_code == 200
    for method in ("GET", "HEAD", "POST"):
        assert (await client.request(method, path)).status_code == 404


async def test_the_api_is_not_at_the_ops_port(client: ServiceClient) -> None:
    assert (await client.get("/relationships")).json() == 7
    assert (await client.get_ops("/relationships")).status_code == 404


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded"])
async def test_no_header_leads_from_the_api_to_the_ops_port(client: ServiceClient, header: str) -> None:
    ops_address = client.ops_url.removeprefix("http://")
    values = {"X-Forwarded-Port": ops_address.partition(":")[2], "Forwarded": f"host={ops_address}"}

    response = await client.get("/metrics", headers={header: values.get(header, ops_address)})

    assert response.status_code == 404


async def test_requests_are_counted_at_both_ports(client: ServiceClient) -> None:
    """A service that nobody has asked anything yet exports the metric, too: its absence raises an alert."""
    await client.get("/relationships")
    await client.get_ops("/metrics")

    metrics = (await client.get_ops("/metrics")).text

    for route in ("/relationships", "/metrics"):
        assert f'attune_http_requests_total{{method="GET",route="{route}",status="200"}}' in metrics


async def test_head_is_answered_at_the_ops_port(client: ServiceClient) -> None:
    response = await client.head(f"{client.ops_url}/health/live")

    assert (response.status_code, response.content) == (200, b"")


async def test_a_request_that_names_no_port_is_one_of_the_api() -> None:
    """A server on a Unix socket has no port."""
    router = OpsRouter(service(), ops_port=9001)
    async with AsyncExitStack() as exit_stack:
        transport = httpx2.ASGITransport(router)
        client = await exit_stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://test"))

        assert (await client.get("/relationships")).json() == 7


@every_service
async def test_the_docs_are_off_unless_asked_for(service: str) -> None:
    async with open_service(service) as api, open_ops(service) as ops:
        for client, path in product((api, ops), ("/docs", "/redoc", "/openapi.json", "/docs/swagger-ui.css")):
            assert (await client.get(path)).status_code == 404, path


@every_service
async def test_the_docs_need_only_files_of_ours(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_DOCS", "true")
    async with open_ops(service) as client:
        page = await client.get("/docs")
        links = re.findall('(?:href|src)="([^"]+)"', page.text)
        files = [await client.get(f"/{link}") for link in links]

        assert "default-src 'none'; script-src 'self'" in page.headers["content-security-policy"]
        assert "<script>" not in page.text
        assert links == ["docs/swagger-ui.css", "docs/swagger-ui-bundle.js", "docs/docs.js"], "relative to any prefix"
        assert [file.status_code for file in files] == [200] * 3
        assert (await client.get("/openapi.json")).json()["openapi"].startswith("3.")
        assert (await client.get("/docs/..%2f__init__.py")).status_code == 404
