"""A service as its users meet it: served on a real port, on the real Kafka and MongoDB."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2
import uvicorn
from fastapi import FastAPI

from shared.http.server import DRAIN_SECONDS


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """`app` on a free port, ready; ended cleanly afterwards."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=DRAIN_SECONDS)
    )
    serve_task = asyncio.create_task(server.serve())
    try:
        await until(lambda: _is(server.started or serve_task.done()))
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            await until(lambda: _ready(client))
            yield client
    finally:
        server.should_exit = True
        await serve_task


async def until(condition: Callable[[], Awaitable[bool]], within: float = 30.0) -> None:
    """Wait until `condition` holds; fail when it does not hold `within` so many seconds."""
    deadline = time.monotonic() + within
    while not await condition():
        assert time.monotonic() < deadline, f"did not come true within {within} s"
        await asyncio.sleep(0.02)


async def _is(value: bool) -> bool:
    return value


async def _ready(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/health/ready")).status_code == 200
