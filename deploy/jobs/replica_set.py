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

from shared.runtime.settings import BootstrapServers, load

ADMINISTRATOR = "attune"
PATIENCE = 60.0  # seconds in which a server answers, and members find each other and elect one
NO_LEAVE, NO_SUCH_USER_OR_PASSWORD, NO_SUCH_USER, ALREADY_INITIALIZED = 13, 18, 11, 23  # MongoDB's error codes

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
    def services(self) -> Mapping[str, str]:
        """The password of each service."""
        return {
            "intake": self.intake_mongodb_password.get_secret_value(),
            "sessions": self.sessions_mongodb_password.get_secret_value(),
            "alliance": self.alliance_mongodb_password.get_secret_value(),
            "notify": self.notify_mongodb_password.get_secret_value(),
        }


class NotDone(Exception):
    """The message says what was in the way, and what a person can do about it."""


def make(settings: ReplicaSetSettings, host: str = "127.0.0.1", port: int = 27017) -> None:
    """Make what is missing, and set the services' passwords as they are now. Raises NotDone; safe to repeat."""
    members, password = settings.mongodb_members.split(","), settings.mongodb_admin_password.get_secret_value()
    patience = int(PATIENCE * 1000)
    try:
        with Client(host, port, directConnection=True, serverSelectionTimeoutMS=patience) as nobody:
            nobody.admin.command("ping")
            with Client(host, port, directConnection=True, username=ADMINISTRATOR, password=password) as administrator:
                if not _lets_in(administrator):
                    _begin(nobody, members, password)
                _join(administrator, members)
                for name, own in settings.services.items():
                    _user(administrator, name, own, {"role": "readWrite", "db": f"attune_{name}"})
    except OperationFailure as error:
        raise NotDone(f"MongoDB refuses: {(error.details or {}).get('errmsg', error)}") from None
    except PyMongoError as error:
        raise NotDone(f"MongoDB at {host}:{port} does not answer: {str(error)[:300]}") from None


def _lets_in(administrator: Client) -> bool:
    try:
        administrator.admin.command("replSetGetConfig")
    except OperationFailure as error:
        if error.code == NO_SUCH_USER_OR_PASSWORD:
            return False
        raise
    return True


def _begin(nobody: Client, members: list[str], password: str) -> None:
    """What MongoDB allows anybody on its own loopback, as long as there is no user."""
    config = {"_id": "rs0", "members": [_member(number, member) for number, member in enumerate(members)]}
    try:
        nobody.admin.command("replSetInitiate", config)
    except OperationFailure as error:
        if error.code not in (ALREADY_INITIALIZED, NO_LEAVE):
            raise
    _until_primary(nobody)
    try:
        _user(nobody, ADMINISTRATOR, password, {"role": "root", "db": "admin"})
    except OperationFailure as error:
        if error.code != NO_LEAVE:
            raise
        raise NotDone(
            "MongoDB refuses the password of its administrator: this data was made with another "
            "mongodb_admin_password; put that one back"
        ) from None


def _join(administrator: Client, members: list[str]) -> None:
    """Let the members that are new join, one by one, as MongoDB wants it."""
    _until_primary(administrator)
    for member in members:
        config = administrator.admin.command("replSetGetConfig")["config"]
        if member not in {known["host"] for known in config["members"]}:
            config["members"].append(_member(1 + max(known["_id"] for known in config["members"]), member))
            config["version"] += 1
            administrator.admin.command("replSetReconfig", config)


def _member(number: int, host: str) -> dict[str, Any]:
    return {"_id": number, "host": host, "priority": 1 if number else 2}


def _until_primary(client: Client) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (hello := client.admin.command("hello"))["isWritablePrimary"]:
        if time.monotonic() > deadline:
            raise NotDone(
                f"no primary beside us after {PATIENCE:.0f} s; MongoDB knows as members {hello.get('hosts', 'nobody')} "
                f"and says {hello.get('info', 'nothing more')}; do they all run, and under these names?"
            )
        time.sleep(0.5)  # a server tells nobody that it was elected: it has to be asked again


def _user(client: Client, name: str, password: str, role: Mapping[str, str]) -> None:
    try:
        client.admin.command("updateUser", name, pwd=password, roles=[role])
    except OperationFailure as error:
        if error.code not in (NO_SUCH_USER, NO_LEAVE):  # before the first user only making one is allowed
            raise
        client.admin.command("createUser", name, pwd=password, roles=[role])


def main() -> None:
    settings = load(ReplicaSetSettings)
    try:
        make(settings)
    except NotDone as error:
        sys.exit(f"replica set: {error}")
    print(f"replica set: {settings.mongodb_members}; a user for each of {', '.join(settings.services)}")


if __name__ == "__main__":
    main()
