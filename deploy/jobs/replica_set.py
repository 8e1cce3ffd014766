"""Sets up MongoDB for the services: a replica set, and a user for each service with access to its own database only.

A deliberate step that can be repeated (`python -m deploy.jobs.replica_set`). It must connect to MongoDB over the
loopback interface: until the first user exists, MongoDB accepts no other connection.
"""

import sys
import time
from collections.abc import Mapping
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from shared.runtime.settings import BootstrapServers, load_settings

ADMIN_USERNAME = "attune"
PRIMARY_TIMEOUT_SECONDS = 60.0  # for a server to answer, and for the members to elect a primary
UNAUTHORIZED, AUTHENTICATION_FAILED, USER_NOT_FOUND, ALREADY_INITIALIZED = 13, 18, 11, 23  # MongoDB's error codes

Client = MongoClient[dict[str, Any]]


class ReplicaSetSettings(BaseSettings):
    """The members and the passwords. Passwords come from secret files."""

    mongodb_members: BootstrapServers = "mongo:27017"
    """The first is the local one, and is preferred as the primary. New members are added."""
    mongodb_admin_password: SecretStr = Field(min_length=1)
    intake_mongodb_password: SecretStr = Field(min_length=1)
    sessions_mongodb_password: SecretStr = Field(min_length=1)
    alliance_mongodb_password: SecretStr = Field(min_length=1)
    notify_mongodb_password: SecretStr = Field(min_length=1)

    @property
    def service_passwords(self) -> Mapping[str, str]:
        """The password of each service."""
        return {
            "intake": self.intake_mongodb_password.get_secret_value(),
            "sessions": self.sessions_mongodb_password.get_secret_value(),
            "alliance": self.alliance_mongodb_password.get_secret_value(),
            "notify": self.notify_mongodb_password.get_secret_value(),
        }


class ReplicaSetError(Exception):
    """The replica set could not be set up. The message says why, and what a person can do."""


def set_up_replica_set(settings: ReplicaSetSettings, host: str = "127.0.0.1", port: int = 27017) -> None:
    """Create what is missing, and set the current passwords of the services; idempotent. Raises ReplicaSetError."""
    members, password = settings.mongodb_members.split(","), settings.mongodb_admin_password.get_secret_value()
    timeout_ms = int(PRIMARY_TIMEOUT_SECONDS * 1000)
    try:
        with Client(host, port, directConnection=True, serverSelectionTimeoutMS=timeout_ms) as anonymous:
            anonymous.admin.command("ping")
            with Client(host, port, directConnection=True, username=ADMIN_USERNAME, password=password) as admin:
                if not _can_sign_in(admin):
                    _initiate(anonymous, members, password)
                _add_members(admin, members)
                for name, service_password in settings.service_passwords.items():
                    _create_or_update_user(admin, name, service_password, {"role": "readWrite", "db": f"attune_{name}"})
    except OperationFailure as error:
        raise ReplicaSetError(f"MongoDB rejected a command: {(error.details or {}).get('errmsg', error)}") from None
    except PyMongoError as error:
        raise ReplicaSetError(f"MongoDB at {host}:{port} is unavailable: {str(error)[:300]}") from None


def _can_sign_in(admin: Client) -> bool:
    try:
        admin.admin.command("replSetGetConfig")
    except OperationFailure as error:
        if error.code == AUTHENTICATION_FAILED:
            return False
        raise
    return True


def _initiate(anonymous: Client, members: list[str], password: str) -> None:
    """Create the replica set and the administrator; without users, MongoDB allows this on its loopback interface."""
    config = {"_id": "rs0", "members": [_member_config(member_id, member) for member_id, member in enumerate(members)]}
    try:
        anonymous.admin.command("replSetInitiate", config)
    except OperationFailure as error:
        if error.code not in (ALREADY_INITIALIZED, UNAUTHORIZED):
            raise
    _wait_until_primary(anonymous)
    try:
        _create_or_update_user(anonymous, ADMIN_USERNAME, password, {"role": "root", "db": "admin"})
    except OperationFailure as error:
        if error.code != UNAUTHORIZED:
            raise
        raise ReplicaSetError(
            "MongoDB rejects the administrator's password: its data was created with another "
            "mongodb_admin_password; restore that one"
        ) from None


def _add_members(admin: Client, members: list[str]) -> None:
    """Add new members one by one, as MongoDB requires."""
    _wait_until_primary(admin)
    for member in members:
        config = admin.admin.command("replSetGetConfig")["config"]
        if member not in {existing["host"] for existing in config["members"]}:
            config["members"].append(_member_config(1 + max(existing["_id"] for existing in config["members"]), member))
            config["version"] += 1
            admin.admin.command("replSetReconfig", config)


def _member_config(member_id: int, host: str) -> dict[str, Any]:
    return {"_id": member_id, "host": host, "priority": 1 if member_id else 2}


def _wait_until_primary(client: Client) -> None:
    deadline = time.monotonic() + PRIMARY_TIMEOUT_SECONDS
    while not (hello := client.admin.command("hello"))["isWritablePrimary"]:
        if time.monotonic() > deadline:
            raise ReplicaSetError(
                f"no primary was elected within {PRIMARY_TIMEOUT_SECONDS:.0f} s; MongoDB lists the members "
                f"{hello.get('hosts', 'none')} and reports {hello.get('info', 'nothing more')}; "
                "check that all of them run under these names"
            )
        time.sleep(0.5)  # a server does not announce its election: it must be asked again


def _create_or_update_user(client: Client, name: str, password: str, role: Mapping[str, str]) -> None:
    try:
        client.admin.command("updateUser", name, pwd=password, roles=[role])
    except OperationFailure as error:
        if error.code not in (USER_NOT_FOUND, UNAUTHORIZED):  # before the first user exists, only createUser is allowed
            raise
        client.admin.command("createUser", name, pwd=password, roles=[role])


def main() -> None:
    settings = load_settings(ReplicaSetSettings)
    try:
        set_up_replica_set(settings)
    except ReplicaSetError as error:
        sys.exit(f"replica set: {error}")
    print(f"replica set: {settings.mongodb_members}; a user for each of {', '.join(settings.service_passwords)}")


if __name__ == "__main__":
    main()
