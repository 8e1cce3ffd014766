"""The store of identities in MongoDB, in a database that all services share."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel
from pymongo.errors import DuplicateKeyError

from shared.access.clinic_id import ClinicId
from shared.errors import IdTaken
from shared.identity.login_session import LoginSession
from shared.identity.records import BoundPerson, MachineRecord, StartedSignIn
from shared.identity.store.protocol import AccountTaken
from shared.mongo.client import Collection, Document, Mongo, translate_errors

STARTED_SIGN_IN_LIFETIME = timedelta(minutes=10)
"""The time for a password and a second factor. MongoDB removes what is older within about a minute."""
NOT_ENDED = {"ended_at": None}

RecordT = TypeVar("RecordT", bound=BaseModel)


class MongoIdentityStore:
    """A store in MongoDB: one collection for each kind of record."""

    def __init__(self, mongo: Mongo) -> None:
        self._people = mongo["people"]
        self._machines = mongo["machines"]
        self._login_sessions = mongo["login_sessions"]
        self._started_sign_ins = mongo["started_sign_ins"]
        self._has_account_indexes = False

    async def create_indexes(self) -> None:
        """Create the indexes. Idempotent. Raises StoreUnavailable."""
        await self._ensure_account_indexes()
        lifetime_seconds = int(STARTED_SIGN_IN_LIFETIME.total_seconds())
        with translate_errors():
            await self._login_sessions.create_index([("person_id", 1), ("started_at", -1)], name="person")
            await self._login_sessions.create_index("expires_at", name="expiry", expireAfterSeconds=0)
            await self._started_sign_ins.create_index("started_at", name="expiry", expireAfterSeconds=lifetime_seconds)

    async def bind_person(self, person: BoundPerson) -> None:
        await self._ensure_account_indexes()
        with _account_must_be_free():
            await self._people.replace_one({"_id": person.person_id}, _to_document(person), upsert=True)

    async def find_person(self, issuer: str, subject: str) -> BoundPerson | None:
        return await _find_one(self._people, {"issuer": issuer, "subject": subject}, BoundPerson)

    async def unbind_person(self, person_id: UUID) -> None:
        with translate_errors():
            await self._people.delete_one({"_id": person_id})

    async def save_machine(self, machine: MachineRecord) -> None:
        await self._ensure_account_indexes()
        own = {"_id": machine.machine_id, "clinic_id": machine.clinic_id}
        document = _to_document(machine) | {"scopes": sorted(machine.scopes)}
        with _account_must_be_free():
            await self._machines.replace_one(own, document, upsert=True)

    async def find_machine(self, issuer: str, client_id: str) -> MachineRecord | None:
        return await _find_one(self._machines, {"issuer": issuer, "client_id": client_id}, MachineRecord)

    async def get_machine(self, machine_id: UUID) -> MachineRecord | None:
        return await _find_one(self._machines, {"_id": machine_id}, MachineRecord)

    async def revoke_machine(self, clinic_id: ClinicId, machine_id: UUID, at: datetime) -> None:
        unrevoked = {"_id": machine_id, "clinic_id": clinic_id, "revoked_at": None}
        with translate_errors():
            await self._machines.update_one(unrevoked, {"$set": {"revoked_at": at}})

    async def add_login_session(self, session: LoginSession) -> None:
        await _insert(self._login_sessions, session)

    async def find_login_session(self, login_session_id: str) -> LoginSession | None:
        return await _find_one(self._login_sessions, {"_id": login_session_id}, LoginSession)

    async def list_login_sessions(self, person_id: UUID) -> list[LoginSession]:
        with translate_errors():
            cursor = self._login_sessions.find({"person_id": person_id, **NOT_ENDED}).sort("started_at", -1)
            return [_from_document(document, LoginSession) for document in await cursor.to_list(None)]

    async def record_activity(self, login_session_id: str, at: datetime) -> None:
        with translate_errors():
            await self._login_sessions.update_one(
                {"_id": login_session_id, **NOT_ENDED}, {"$max": {"last_active_at": at}}
            )

    async def end_login_session(self, person_id: UUID, login_session_id: str, at: datetime) -> None:
        own = {"_id": login_session_id, "person_id": person_id}
        with translate_errors():
            await self._login_sessions.update_one({**own, **NOT_ENDED}, {"$set": {"ended_at": at}})

    async def end_login_sessions(self, person_id: UUID, at: datetime) -> list[str]:
        with translate_errors():
            documents = await self._login_sessions.find({"person_id": person_id, **NOT_ENDED}, {"_id": 1}).to_list(None)
            await self._login_sessions.update_many({"person_id": person_id, **NOT_ENDED}, {"$set": {"ended_at": at}})
        return [document["_id"] for document in documents]

    async def add_started_sign_in(self, started: StartedSignIn) -> None:
        await _insert(self._started_sign_ins, started)

    async def take_started_sign_in(self, state_hash: str, browser_hash: str) -> StartedSignIn | None:
        with translate_errors():
            document = await self._started_sign_ins.find_one_and_delete(
                {"_id": state_hash, "browser_hash": browser_hash}
            )
        return None if document is None else _from_document(document, StartedSignIn)

    async def _ensure_account_indexes(self) -> None:
        """Create the unique indexes, on which it rests that an account is bound once: before the first is bound."""
        if self._has_account_indexes:
            return
        with translate_errors():
            await self._people.create_index([("issuer", 1), ("subject", 1)], name="account", unique=True)
            await self._machines.create_index([("issuer", 1), ("client_id", 1)], name="account", unique=True)
        self._has_account_indexes = True


ID_FIELDS: dict[type[BaseModel], str] = {
    BoundPerson: "person_id",
    MachineRecord: "machine_id",
    LoginSession: "login_session_id",
    StartedSignIn: "state_hash",
}
"""The field of each kind of record that is the `_id` of its document."""


def _to_document(record: BaseModel) -> Document:
    document = record.model_dump()
    return {"_id": document.pop(ID_FIELDS[type(record)]), **document}


def _from_document(document: Document, record_class: type[RecordT]) -> RecordT:
    return record_class.model_validate({**document, ID_FIELDS[record_class]: document["_id"]})


async def _find_one(collection: Collection, query: dict[str, Any], record_class: type[RecordT]) -> RecordT | None:
    with translate_errors():
        document = await collection.find_one(query)
    return None if document is None else _from_document(document, record_class)


async def _insert(collection: Collection, record: BaseModel) -> None:
    """Insert the record. It may have been inserted by an attempt of which no answer came: its id is a random one."""
    with translate_errors(), suppress(DuplicateKeyError):
        await collection.insert_one(_to_document(record))


@contextmanager
def _account_must_be_free() -> Iterator[None]:
    """Raises AccountTaken if the account belongs to another record, and IdTaken if the id belongs to another clinic."""
    try:
        with translate_errors():
            yield
    except DuplicateKeyError as error:
        if "_id" in (error.details or {}).get("keyPattern", {}):
            raise IdTaken from None
        raise AccountTaken from None
