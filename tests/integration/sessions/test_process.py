"""The service as a process: it starts, serves and shuts down."""

import asyncio
import os
import signal
import sys
from uuid import uuid4

import httpx2
import pytest

from tests.support.serving import wait_until
from tools.sandbox.servers.ports import free_ports

pytestmark = pytest.mark.integration


async def test_the_process_serves_until_sigterm_and_exits(kafka_servers: str, mongodb_uri: str) -> None:
    (port,) = free_ports(1)
    environment = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_servers,
        "MONGODB_URI": mongodb_uri,
        "MONGODB_DATABASE": f"test_{uuid4().hex}",
        "HTTP_PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.sessions", env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

            async def is_ready() -> bool:
                try:
                    return (await client.get("/health/ready")).status_code == 200
                except httpx2.ConnectError:
                    return False

            await wait_until(is_ready)
            assert (await client.get("/openapi.json")).status_code == 404
            assert "attune_sessions_overdue_seconds" in (await client.get("/metrics")).text
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 15)
        assert b"Finished server process" in output
        assert process.returncode in (0, -signal.SIGTERM)  # uvicorn shuts down, then raises the signal again
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
