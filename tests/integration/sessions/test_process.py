"""The service as a process: it starts, serves and shuts down."""

import asyncio
import os
import signal
import sys
from uuid import uuid4

import pytest

from tests.support.serving import is_ready, port_settings, process_client, wait_until

pytestmark = pytest.mark.integration


async def test_the_process_serves_until_sigterm_and_exits(kafka_servers: str, mongodb_uri: str) -> None:
    environment = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_servers,
        "MONGODB_URI": mongodb_uri,
        "MONGODB_DATABASE": f"test_{uuid4().hex}",
        **port_settings(),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.sessions", env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with process_client(environment) as client:
            await wait_until(lambda: is_ready(client))
            assert "attune_sessions_overdue_seconds" in (await client.get_ops("/metrics")).text
            for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs"):
                assert (await client.get(path)).status_code == 404, path
            forged_host = {"Host": f"127.0.0.1:{environment['OPS_PORT']}"}
            assert (await client.get("/metrics", headers=forged_host)).status_code == 404
            assert (await client.get_ops("/form.css")).status_code == 404
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 15)
        assert b"Finished server process" in output
        assert process.returncode in (0, -signal.SIGTERM)  # uvicorn shuts down, then raises the signal again
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
