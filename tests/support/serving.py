"""Serves an application as in production: on a real port, with the real Kafka and MongoDB."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2
import uvicorn
from fastapi import FastAPI

from shared.http.server import DRAIN_TIMEOUT_SECONDS


@asynccontextmanager
async def run_app(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve `app` on a free port; yields when it is ready, and shuts it down cleanly afterwards."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=DRAIN_TIMEOUT_SECONDS)
    )
    serve_task = asyncio.create_task(server.serve())
    try:
        await wait_until(lambda: _is_true(server.started or serve_task.done()))
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            await wait_until(lambda: _is_ready(client))
            yield client
    finally:
        server.should_exit = True
        await serve_task


async def wait_until(condition: Callable[[], Awaitable[bool]], timeout_seconds: float = 30.0) -> None:
    """Wait until `condition` holds; fail after `timeout_seconds`."""
    deadline = time.monotonic() + timeout_seconds
    while not await condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {timeout_seconds} s"
        await asyncio.sleep(0.02)


async def _is_true(value: bool) -> bool:
    return value


async def _is_ready(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/health/ready")).status_code == 200
