"""A new MongoDB with authentication becomes a replica set with a user for each service."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.jobs.replica_set import ReplicaSetError, ReplicaSetSettings, set_up_replica_set
from shared.errors import StoreUnavailable
from shared.mongo.client import AUTHENTICATION_FAILED_MESSAGE, Mongo, translate_errors
from tools.sandbox.servers import mongod
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import LocalServer

pytestmark = pytest.mark.integration

PASSWORDS = {f"{name}_mongodb_password": f"{name}'s own" for name in ("intake", "sessions", "alliance", "notify")}


def is_reachable(port: int) -> bool:
    with MongoClient[dict[str, Any]](port=port, directConnection=True, serverSelectionTimeoutMS=500) as client:
        try:
            client.admin.command("ping")
        except PyMongoError:
            return False
    return True


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an empty MongoDB with a key file, as docker-compose.yml starts it."""
    (port,), data = free_ports(1), tmp_path_factory.mktemp("mongodb")
    key = data / "keyfile"
    key.write_text(base64.b64encode(b"only for this test, and for nobody").decode())
    key.chmod(0o400)
    (data / "db").mkdir()
    command: list[str | Path] = [mongod.find_binary(), "--replSet", "rs0", "--keyFile", key, "--dbpath", data / "db"]
    more = ["--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
    with LocalServer("MongoDB", f"127.0.0.1:{port}", [*command, *more], data, port, lambda: is_reachable(port)):
        yield port


def settings(port: int, **overrides: str) -> ReplicaSetSettings:
    values = {"mongodb_admin_password": "the first", **PASSWORDS, "mongodb_members": f"127.0.0.1:{port}", **overrides}
    return ReplicaSetSettings.model_validate(values)


def client_as(port: int, name: str, password: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(port=port, username=name, password=password, directConnection=True)


def test_a_service_reaches_its_own_database_and_no_other(port: int) -> None:
    set_up_replica_set(settings(port), port=port)
    set_up_replica_set(settings(port), port=port)  # idempotent

    with client_as(port, "intake", "intake's own") as intake:
        intake["attune_intake"]["clients"].insert_one({"case_code": "ELM-1"})
    with client_as(port, "notify", "notify's own") as notify, pytest.raises(OperationFailure, match="not authorized"):
        notify["attune_intake"]["clients"].find_one()


def test_a_changed_password_is_valid_after_the_next_run(port: int) -> None:
    set_up_replica_set(settings(port), port=port)

    set_up_replica_set(settings(port, sessions_mongodb_password="another"), port=port)

    with client_as(port, "sessions", "another") as sessions:
        assert sessions["attune_sessions"]["sessions"].count_documents({}) == 0


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_a_wrong_password_is_reported_every_time(
    port: int, driver: Literal["motor", "pymongo"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.mongo.client.ANSWER_TIMEOUT_MS", 500)
    await asyncio.to_thread(set_up_replica_set, settings(port), port=port)
    uri = f"mongodb://intake:another@127.0.0.1:{port}/?replicaSet=rs0&authSource=admin"
    mongo = Mongo(uri, "attune_intake", driver)

    try:
        for _ in range(3):  # the driver itself reports it the first time only
            with pytest.raises(StoreUnavailable) as raised, translate_errors():
                await mongo["clients"].find_one()
            assert str(raised.value) == AUTHENTICATION_FAILED_MESSAGE
    finally:
        await mongo.close()


def test_data_of_another_administrator_gives_one_clear_line(port: int) -> None:
    set_up_replica_set(settings(port), port=port)

    with pytest.raises(ReplicaSetError, match="created with another mongodb_admin_password; restore that one"):
        set_up_replica_set(settings(port, mongodb_admin_password="the second"), port=port)


def test_an_unavailable_server_gives_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.jobs.replica_set.PRIMARY_TIMEOUT_SECONDS", 0.2)
    (unused_port,) = free_ports(1)

    with pytest.raises(ReplicaSetError, match="is unavailable"):
        set_up_replica_set(settings(unused_port), port=unused_port)
