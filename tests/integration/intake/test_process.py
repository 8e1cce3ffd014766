"""The service as a process: it starts, serves, recovers from a crash and shuts down."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import httpx2
import pytest
from pymongo import MongoClient

from shared.events import ConsentGiven, RelationshipStarted
from shared.events.topics import INTAKE
from shared.runtime.settings import UNPROTECTED
from tests.support.intake_client import IntakeClient
from tests.support.kafka_reader import read_events
from tests.support.serving import ServiceClient, port_settings, process_client, wait_until
from tools.sandbox.servers.ports import free_ports

pytestmark = pytest.mark.integration


def environment(kafka_servers: str, mongodb_uri: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "KAFKA_BOOTSTRAP_SERVERS": kafka_servers,
        "MONGODB_URI": mongodb_uri,
        "MONGODB_DATABASE": f"test_{uuid4().hex}",
        **port_settings(),
    }


async def start_process(env: dict[str, str]) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.intake", env=env, stdout=PIPE, stderr=PIPE
    )


@asynccontextmanager
async def run_process(env: dict[str, str]) -> AsyncIterator[tuple[Process, ServiceClient]]:
    """The process, once it is live. It is killed if the test did not end it."""
    process = await start_process(env)
    try:
        async with process_client(env) as http:

            async def is_live() -> bool:
                assert process.returncode is None, (await process.communicate())[1].decode()
                try:
                    return (await http.get_ops("/health/live")).status_code == 200
                except httpx2.ConnectError:
                    return False

            await wait_until(is_live)
            yield process, http
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_the_process_serves_until_sigterm_and_logs_no_contact(kafka_servers: str, mongodb_uri: str) -> None:
    async with run_process(environment(kafka_servers, mongodb_uri)) as (process, http):
        clinic = IntakeClient(http, kafka_servers)
        await clinic.set_up()
        assert (await clinic.register_clinician(contact="no address")).status_code == 422
        await clinic.wait_for_events(clinic.relationship_id, at_least=2)

        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), timeout=20)

    assert (process.returncode, err) == (0, b"")
    assert str(clinic.relationship_id).encode() in out
    for secret in (b"example.org", b"no address", b"Clinic by the Lake", b"030 112 112", b"Traceback"):
        assert secret not in out


async def test_changes_made_while_kafka_is_unavailable_are_published_after_a_crash(
    kafka_servers: str, mongodb_uri: str
) -> None:
    (closed_port,) = free_ports(1)
    env = environment(f"127.0.0.1:{closed_port}", mongodb_uri)
    async with run_process(env) as (process, http):
        clinic = IntakeClient(http, kafka_servers)
        await clinic.set_up()
        assert (await http.get_ops("/health/ready")).json() == {"mongodb": True, "kafka": False}
        process.kill()
        await process.communicate()
    assert await read_events(kafka_servers, INTAKE, clinic.relationship_id) == []

    async with run_process({**env, "KAFKA_BOOTSTRAP_SERVERS": kafka_servers}):
        events = await clinic.wait_for_events(clinic.relationship_id, at_least=2)
        await wait_until(lambda: _outbox_is_empty(env))

    assert [type(event) for event in events] == [RelationshipStarted, ConsentGiven]
    assert len(await read_events(kafka_servers, INTAKE, clinic.clinician_id)) == 1


async def test_a_missing_setting_is_reported_in_one_line_with_exit_code_2(mongodb_uri: str) -> None:
    env = environment("127.0.0.1:1", mongodb_uri)
    del env["KAFKA_BOOTSTRAP_SERVERS"]

    process = await start_process(env)
    out, err = await process.communicate()

    assert (process.returncode, out) == (2, b"")
    assert err.decode() == "settings: KAFKA_BOOTSTRAP_SERVERS: must be set\n"


async def test_the_process_listens_to_other_machines_only_with_an_explicit_opt_in(mongodb_uri: str) -> None:
    process = await start_process({**environment("127.0.0.1:1", mongodb_uri), "HTTP_HOST": "0.0.0.0"})
    _, err = await process.communicate()

    assert process.returncode == 2
    assert f"UNPROTECTED={UNPROTECTED}" in err.decode()


async def test_the_process_listens_on_ipv6(mongodb_uri: str) -> None:
    env = environment("127.0.0.1:1", mongodb_uri)
    process = await start_process({**env, "HTTP_HOST": "::1", "OPS_HOST": "::1"})
    try:
        async with httpx2.AsyncClient() as http:

            async def is_alive() -> bool:
                assert process.returncode is None, await process.communicate()
                with suppress(httpx2.TransportError):
                    return (await http.get(f"http://[::1]:{env['OPS_PORT']}/health/live")).status_code == 200
                return False

            await wait_until(is_alive)
            assert (await http.get(f"http://[::1]:{env['HTTP_PORT']}/nowhere")).status_code == 404
    finally:
        process.kill()
        await process.communicate()


async def test_a_host_of_another_machine_is_reported_in_one_line(mongodb_uri: str) -> None:
    for setting in ("HTTP_HOST", "OPS_HOST"):
        settings = {setting: "192.0.2.1", "UNPROTECTED": UNPROTECTED, "HTTP_PORT": "8001", "OPS_PORT": "8002"}
        process = await start_process({**environment("127.0.0.1:1", mongodb_uri), **settings})
        _, err = await process.communicate()

        assert process.returncode == 1
        assert err.decode().startswith(f"http: cannot listen on 192.0.2.1:{8001 if setting == 'HTTP_HOST' else 8002}: ")
        assert err.decode().endswith(f"; choose another {setting}\n")


async def test_a_port_in_use_is_reported_in_one_line(mongodb_uri: str) -> None:
    for setting in ("HTTP_PORT", "OPS_PORT"):
        env = environment("127.0.0.1:1", mongodb_uri)
        with socket.create_server(("127.0.0.1", int(env[setting]))):
            process = await start_process(env)
            _, err = await process.communicate()

        assert process.returncode == 1
        assert err.decode().startswith(f"http: cannot listen on 127.0.0.1:{env[setting]}: Address already in use")
        assert err.decode().endswith(f"; choose another {setting}\n")
        assert err.count(b"\n") == 1


async def _outbox_is_empty(env: dict[str, str]) -> bool:
    with MongoClient[dict[str, object]](env["MONGODB_URI"]) as client:
        database = client[env["MONGODB_DATABASE"]]
        return not any(
            database[name].count_documents({"owed.0": {"$exists": True}}) for name in ("clinicians", "relationships")
        )
