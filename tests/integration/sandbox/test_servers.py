"""The servers that run without Docker are real, and lose nothing when they are killed."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import uuid
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pymongo import MongoClient

from tools.sandbox.servers import kafka, mongod, process
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import LocalServer, RunError

pytestmark = pytest.mark.integration


async def test_a_message_sent_to_kafka_can_be_consumed(kafka_servers: str) -> None:
    topic = await new_topic(kafka_servers)

    await produce(kafka_servers, topic, b"a session took place")

    assert await consume(kafka_servers, topic) == b"a session took place"


def test_a_transaction_in_mongodb_is_committed_completely_or_not_at_all(mongodb_uri: str) -> None:
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        notes = client[f"test_{uuid.uuid4().hex}"]["notes"]
        with client.start_session() as session, session.start_transaction():
            notes.insert_one({"_id": "kept"}, session=session)
        with pytest.raises(RuntimeError, match="changed my mind"):  # noqa: PT012, SIM117 - the transaction is the subject
            with client.start_session() as session, session.start_transaction():
                notes.insert_one({"_id": "undone"}, session=session)
                raise RuntimeError("changed my mind")

        assert [note["_id"] for note in notes.find()] == ["kept"]
        client.drop_database(notes.database.name)


async def test_kafka_keeps_its_messages_when_it_is_killed(tmp_path: Path) -> None:
    with kafka.kafka_server(tmp_path, *free_ports(2)) as server:
        topic = await new_topic(server.address)
        await produce(server.address, topic, b"before the power cut")

        server.kill()
        server.start()

        assert await consume(server.address, topic) == b"before the power cut"


def test_mongodb_keeps_its_documents_when_it_is_killed(tmp_path: Path) -> None:
    with mongod.mongodb_server(tmp_path, *free_ports(1)) as server:
        write_note(server, "before the power cut")

        server.kill()
        server.start()

        assert read_notes(server) == ["before the power cut"]


def test_a_cluster_id_may_start_with_a_hyphen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in 64 does, and would be parsed as an option."""
    monkeypatch.setattr(kafka, "new_cluster_id", lambda: "-" + "A" * 21)

    with kafka.kafka_server(tmp_path, *free_ports(2)):
        pass


async def test_the_data_can_be_used_at_another_port(tmp_path: Path) -> None:
    with kafka.kafka_server(tmp_path / "kafka", *free_ports(2)) as old_kafka:
        topic = await new_topic(old_kafka.address)
        await produce(old_kafka.address, topic, b"at the old port")
    with mongod.mongodb_server(tmp_path / "mongodb", *free_ports(1)) as old_mongod:
        write_note(old_mongod, "at the old port")

    with kafka.kafka_server(tmp_path / "kafka", *free_ports(2)) as new_kafka:
        assert await consume(new_kafka.address, topic) == b"at the old port"
    with mongod.mongodb_server(tmp_path / "mongodb", *free_ports(1)) as new_mongod:
        assert read_notes(new_mongod) == ["at the old port"]


def test_a_server_that_exits_during_startup_reports_its_log(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"(?s)exited during startup \(exit code 3\).*no room on the disk"):
        fake_server(tmp_path, "print('no room on the disk'); sys.exit(3)").start()


def test_a_server_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STOP_TIMEOUT_SECONDS", 0.2)
    server = fake_server(tmp_path, f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{LISTEN}")
    server.start()
    running = server.process

    server.stop()

    assert running is not None
    assert running.returncode == -signal.SIGKILL


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    server = fake_server(tmp_path, LISTEN)

    with socket.create_server(("127.0.0.1", server.port)), pytest.raises(RunError, match=f"port {server.port}"):
        server.start()


def test_two_processes_never_share_data(tmp_path: Path) -> None:
    message = rf"Another process already uses .*: {os.getpid()}\. .* `kill {os.getpid()}`"
    for _ in range(2):
        with fake_server(tmp_path, LISTEN), pytest.raises(RunError, match=message):
            fake_server(tmp_path, LISTEN).start()


def test_a_process_that_a_killed_owner_left_running_is_stopped_at_the_next_start(tmp_path: Path) -> None:
    server = fake_server(tmp_path, LISTEN)
    with subprocess.Popen(server.command, stdout=subprocess.PIPE) as left_over:
        assert left_over.stdout is not None
        assert left_over.stdout.readline() == b"listening\n"
        (tmp_path / "pid").write_text(str(left_over.pid))

        with server:
            assert left_over.wait() == -signal.SIGTERM


def test_a_server_that_exited_can_be_started_again(tmp_path: Path) -> None:
    with fake_server(tmp_path, LISTEN) as server:
        assert server.process is not None
        assert not server.has_exited
        server.process.kill()
        server.process.wait()
        assert server.has_exited

        server.start()

        assert server.process.poll() is None


@pytest.mark.parametrize(
    ("loader_error", "remedy"),
    [
        ("error while loading shared libraries: libcurl.so.4: cannot open", "apt-get install libcurl4"),
        ("error while loading shared libraries: libcrypto.so.3: cannot open", "needs OpenSSL 3"),
        ("no such instruction", "no such instruction"),
    ],
)
def test_a_missing_library_of_mongod_is_reported_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader_error: str, remedy: str
) -> None:
    broken = tmp_path / "mongod"
    broken.write_text(f"#!/bin/sh\necho '{loader_error}' >&2\nexit 127\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")

    with pytest.raises(RunError, match=remedy):
        mongod.mongodb_server(tmp_path, *free_ports(1))


def test_an_unsupported_platform_is_reported_with_the_alternatives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "arm64")

    with pytest.raises(RunError, match=r"docker compose up.*KAFKA_BOOTSTRAP_SERVERS and MONGODB_URI"):
        kafka.kafka_server(tmp_path, *free_ports(2))
    with pytest.raises(RunError, match=r"docker compose up.*KAFKA_BOOTSTRAP_SERVERS and MONGODB_URI"):
        mongod.mongodb_server(tmp_path, *free_ports(1))


# A server that starts fast; LocalServer does the same for every server.
LISTEN = """
listening = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print('listening', flush=True)
signal.pause()"""


def fake_server(data: Path, code: str) -> LocalServer:
    (port,) = free_ports(1)
    return LocalServer(
        name="Fake",
        address=f"127.0.0.1:{port}",
        command=[sys.executable, "-c", f"import signal, socket, sys\n{code}", str(port), data],
        data=data,
        port=port,
        is_ready=partial(_listens, port),
    )


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port)):
        return True


async def new_topic(servers: str) -> str:
    name = f"test-{uuid.uuid4()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    await admin.close()
    return name


async def produce(servers: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        await producer.send_and_wait(topic, value)


async def consume(servers: str, topic: str) -> bytes | None:
    """The first record of the topic, consumed as a member of a new group."""
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=servers, group_id=topic, auto_offset_reset="earliest"
    ) as consumer:
        async with asyncio.timeout(30):
            record = await consumer.getone()
        return cast("bytes | None", record.value)


def write_note(server: LocalServer, text: str) -> None:
    with MongoClient[dict[str, Any]](server.address, w="majority") as client:
        client["test"]["notes"].insert_one({"_id": text})


def read_notes(server: LocalServer) -> list[str]:
    with MongoClient[dict[str, Any]](server.address) as client:
        return [note["_id"] for note in client["test"]["notes"].find()]
