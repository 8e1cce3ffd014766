"""Serves an application as in production: on real ports, with the real Kafka and MongoDB."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2
from fastapi import FastAPI

from shared.http.ops import OpsRouter
from shared.http.server import create_server
from tools.sandbox.servers.ports import free_ports


class ServiceClient(httpx2.AsyncClient):
    """A client of the API of a service, which also reads what its ops listener serves."""

    def __init__(self, port: int, ops_port: int) -> None:
        super().__init__(base_url=f"http://127.0.0.1:{port}", timeout=30)
        self.ops_url = f"http://127.0.0.1:{ops_port}"

    async def get_ops(self, path: str) -> httpx2.Response:
        """GET from the ops listener."""
        return await self.get(self.ops_url + path)


def port_settings() -> dict[str, str]:
    """The environment of a process that listens on free ports."""
    port, ops_port = free_ports(2)
    return {"HTTP_PORT": str(port), "OPS_PORT": str(ops_port)}


def process_client(environment: dict[str, str]) -> ServiceClient:
    """A client of the process with this environment."""
    return ServiceClient(int(environment["HTTP_PORT"]), int(environment["OPS_PORT"]))


@asynccontextmanager
async def run_app(app: FastAPI) -> AsyncIterator[ServiceClient]:
    """Serve `app` on free ports; yields when it is ready, and shuts it down cleanly afterwards."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    port, ops_port = (each.getsockname()[1] for each in sockets)
    has_ops = hasattr(app.state, "ops")  # a fake may be one application that answers on both
    server = create_server(OpsRouter(app, ops_port) if has_ops else app)
    serve_task = asyncio.create_task(server.serve(sockets))
    try:
        await wait_until(lambda: _is_true(server.started or serve_task.done()))
        async with ServiceClient(port, ops_port) as client:
            await wait_until(lambda: is_ready(client))
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


async def is_ready(client: ServiceClient) -> bool:
    """Whether the service is ready; False as well while it does not listen."""
    try:
        return (await client.get_ops("/health/ready")).status_code == 200
    except httpx2.ConnectError:
        return False


async def _is_true(value: bool) -> bool:
    return value
