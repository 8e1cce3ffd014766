"""Makes of MongoDB what the services need: a replica set, and for each a user who reaches its own database only.

A deliberate step, done once or as often as you like (`python -m deploy.jobs.replica_set`). It must reach MongoDB on the
loopback of its own machine or container: until there is a first user, nobody else is let in.
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
PRIMARY_TIMEOUT_SECONDS = 60.0  # seconds in which a server answers, and members find each other and elect one
UNAUTHORIZED, AUTHENTICATION_FAILED, USER_NOT_FOUND, ALREADY_INITIALIZED = 13, 18, 11, 23  # MongoDB's error codes

Client = MongoClient[dict[str, Any]]


class ReplicaSetSettings(BaseSettings):
    """Who belongs to it. Passwords come from files of secrets."""

    mongodb_members: BootstrapServers = "mongo:27017"
    """The first is the one beside us, and is preferred as the primary; those that are new join."""
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
    """The message says what was in the way, and what a person can do about it."""


def set_up_replica_set(settings: ReplicaSetSettings, host: str = "127.0.0.1", port: int = 27017) -> None:
    """Make what is missing, and set the services' passwords as they are now. Raises NotDone; safe to repeat."""
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
        raise ReplicaSetError(f"MongoDB refuses: {(error.details or {}).get('errmsg', error)}") from None
    except PyMongoError as error:
        raise ReplicaSetError(f"MongoDB at {host}:{port} does not answer: {str(error)[:300]}") from None


def _can_sign_in(admin: Client) -> bool:
    try:
        admin.admin.command("replSetGetConfig")
    except OperationFailure as error:
        if error.code == AUTHENTICATION_FAILED:
            return False
        raise
    return True


def _initiate(anonymous: Client, members: list[str], password: str) -> None:
    """What MongoDB allows anybody on its own loopback, as long as there is no user."""
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
            "MongoDB refuses the password of its administrator: this data was made with another "
            "mongodb_admin_password; put that one back"
        ) from None


def _add_members(admin: Client, members: list[str]) -> None:
    """Let the members that are new join, one by one, as MongoDB wants it."""
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
                f"no primary beside us after {PRIMARY_TIMEOUT_SECONDS:.0f} s; MongoDB knows as members {hello.get('hosts', 'nobody')} "
                f"and says {hello.get('info', 'nothing more')}; do they all run, and under these names?"
            )
        time.sleep(0.5)  # a server tells nobody that it was elected: it has to be asked again


def _create_or_update_user(client: Client, name: str, password: str, role: Mapping[str, str]) -> None:
    try:
        client.admin.command("updateUser", name, pwd=password, roles=[role])
    except OperationFailure as error:
        if error.code not in (USER_NOT_FOUND, UNAUTHORIZED):  # before the first user only making one is allowed
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
