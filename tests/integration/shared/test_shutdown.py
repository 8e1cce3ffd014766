"""The response to a request that is still running when the service shuts down."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from shared.http.app import create_base_app
from shared.runtime.settings import HttpLimits
from tests.support.serving import wait_until


@asynccontextmanager
async def empty_lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


async def test_a_request_that_is_cut_short_may_be_sent_again() -> None:
    app, request_started = (
        create_base_app("Slow", "", HttpLimits(1000), empty_lifespan, CollectorRegistry()),
        asyncio.Event(),
    )

    @app.put("/slow")
    async def slow() -> None:
        request_started.set()
        await asyncio.Event().wait()

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    serve_task = asyncio.create_task(server.serve())

    async def is_started() -> bool:
        return server.started

    await wait_until(is_started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        request_task = asyncio.create_task(client.put("/slow"))
        await request_started.wait()
        server.should_exit = True
        response = await request_task
    await serve_task
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"]
    assert response.json()["type"] == "urn:attune:problem:unavailable"
    assert "send the same request again" in response.json()["detail"]
