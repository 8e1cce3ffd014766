"""Access to MongoDB: the only module that creates a client, and that knows which driver is in use.

Motor and PyMongo's own asyncio API differ in a few calls. Only this module makes those calls; all other code uses what
both drivers offer (docs/adr/0004-mongodb-driver.md).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar
from uuid import UUID, uuid4

from motor.motor_asyncio import AsyncIOMotorClient
from prometheus_client import CollectorRegistry
from pymongo import AsyncMongoClient, ReadPreference, UpdateOne, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WTimeoutError,
)
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
    TopologyClosedEvent,
    TopologyDescriptionChangedEvent,
    TopologyListener,
    TopologyOpenedEvent,
)
from pymongo.read_concern import ReadConcern

from shared.errors import StoreUnavailable
from shared.runtime.metric_specs import CounterSpec, GaugeSpec, HistogramSpec

Document = dict[str, Any]
Collection = AsyncCollection[Document]
MongoSession = AsyncClientSession
Result = TypeVar("Result")

ANSWER_TIMEOUT_MS = 5_000
"""After this time without an answer, the database counts as unavailable."""
MAJORITY_JOURNALED = WriteConcern(w="majority", j=True)
"""An acknowledged write survives the loss of any one member. Transactions do not inherit it from the database."""
DUPLICATE_KEY, AUTHENTICATION_FAILED, WRITE_CONFLICT = 11_000, 18, 112  # MongoDB's error codes
OUT_OF_DISK_SPACE = 14_031
AUTHENTICATION_FAILED_MESSAGE = (
    "MongoDB rejects the username or password: check MONGODB_USERNAME and the secret mongodb_password"
)


MONGODB_COMMAND_SECONDS = HistogramSpec(
    "attune_mongodb_command_seconds",
    "Duration of one MongoDB command, whether or not it failed; `getMore` also waits for changes.",
    {"command": None},
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
MONGODB_COMMAND_ERRORS = CounterSpec(
    "attune_mongodb_command_errors",
    "Commands that MongoDB rejected or did not answer; duplicate keys and version conflicts do not count.",
    {"command": None},
)
MONGODB_CONNECTED = GaugeSpec("attune_mongodb_connected", "1 while the driver knows a writable primary.")


class MongoMetrics(CommandListener, TopologyListener):
    """Metrics of all commands to the database, and of the connection to its primary."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = MONGODB_COMMAND_SECONDS.create(registry)
        self._errors = MONGODB_COMMAND_ERRORS.create(registry)
        self._connected = MONGODB_CONNECTED.create(registry)

    def started(self, event: CommandStartedEvent) -> None:
        """Nothing to do: a command is counted when it ends."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self._seconds.labels(event.command_name).observe(event.duration_micros / 1e6)

    def failed(self, event: CommandFailedEvent) -> None:
        self._seconds.labels(event.command_name).observe(event.duration_micros / 1e6)
        self._errors.labels(event.command_name).inc()

    def opened(self, event: TopologyOpenedEvent) -> None:
        """Nothing to do: no member is known yet."""

    def description_changed(self, event: TopologyDescriptionChangedEvent) -> None:
        self._connected.set(event.new_description.has_writable_server())

    def closed(self, event: TopologyClosedEvent) -> None:
        self._connected.set(0)


class Mongo:
    """The database of one service; no other service reads it. Every command is counted in `metrics`."""

    def __init__(
        self,
        uri: str,
        database: str,
        driver: Literal["motor", "pymongo"] = "motor",
        metrics: MongoMetrics | None = None,
    ) -> None:
        client_class: Any = AsyncIOMotorClient if driver == "motor" else AsyncMongoClient
        self._driver = driver
        self._client = client_class(
            uri,
            uuidRepresentation="standard",
            tz_aware=True,
            serverSelectionTimeoutMS=ANSWER_TIMEOUT_MS,
            connectTimeoutMS=ANSWER_TIMEOUT_MS,
            socketTimeoutMS=4 * ANSWER_TIMEOUT_MS,
            event_listeners=[metrics] if metrics else [],
        )
        self.database: AsyncDatabase[Document] = self._client.get_database(
            database,
            write_concern=MAJORITY_JOURNALED,
            read_concern=ReadConcern("majority"),
            read_preference=ReadPreference.PRIMARY,
        )

    def __getitem__(self, collection: str) -> Collection:
        return self.database[collection]

    async def is_available(self) -> bool:
        """Whether the database can be written to now."""
        try:
            hello = await self._client.admin.command("hello")
        except PyMongoError:
            return False
        return bool(hello.get("isWritablePrimary"))

    async def run_transaction(self, work: Callable[[MongoSession], Awaitable[Result]]) -> Result:
        """Do all writes of `work` or none; `work` may be called several times. Raises StoreUnavailable."""
        with translate_errors():
            while True:
                opening_session = self._client.start_session()
                try:
                    async with await opening_session if self._driver == "motor" else opening_session as session:
                        result: Result = await session.with_transaction(work, write_concern=MAJORITY_JOURNALED)
                        return result
                except OperationFailure as error:
                    if error.code != WRITE_CONFLICT:
                        raise
                    # Motor does not start again after a conflict that shows only at the commit. Nothing was written.

    async def try_transaction(self, work: Callable[[MongoSession], Awaitable[Result]]) -> Result:
        """Do all writes of `work` or none, in one try.

        Raises WriteConflict. Raises StoreUnavailable: then the writes may have been done or not.
        """
        opening_session = self._client.start_session()
        with translate_errors(), _translate_conflicts():
            async with await opening_session if self._driver == "motor" else opening_session as session:
                transaction: Any = session.start_transaction(write_concern=MAJORITY_JOURNALED)
                async with transaction if self._driver == "motor" else await transaction:
                    return await work(session)

    @asynccontextmanager
    async def watch(self, collection: str, pipeline: Sequence[Document] = ()) -> AsyncIterator[Any]:
        """A stream of the changes of `collection`. Raises StoreUnavailable."""
        opening_stream: Any = self[collection].watch(list(pipeline), full_document="updateLookup")
        with translate_errors():
            async with opening_stream if self._driver == "motor" else await opening_stream as changes:
                yield changes

    async def close(self) -> None:
        closing = self._client.close()
        if closing is not None:
            await closing


async def server_time(database: AsyncDatabase[Document]) -> datetime:
    """The time by the clock of the database, which all processes share. Raises StoreUnavailable."""
    with translate_errors():
        hello = await database.command("hello")
    local_time: datetime = hello["localTime"]
    return local_time.replace(tzinfo=UTC)  # the response of a command has no time zone


class WriteConflict(Exception):
    """The same documents are being written concurrently; nothing was written."""


@contextmanager
def _translate_conflicts() -> Iterator[None]:
    try:
        yield
    except BulkWriteError as error:
        if has_errors_besides_duplicates(error):
            raise
        raise WriteConflict from error
    except OperationFailure as error:
        if error.code == WRITE_CONFLICT:
            raise WriteConflict from error
        raise


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raises StoreUnavailable for every error with which a driver says that the database is unavailable."""
    try:
        yield
    except ServerSelectionTimeoutError as error:
        if "Authentication failed" in str(error):  # after the first rejection the driver looks for another server
            raise StoreUnavailable(AUTHENTICATION_FAILED_MESSAGE) from error
        raise StoreUnavailable(
            "no primary was found; check that MongoDB runs, is a replica set and has been initiated: "
            f"{str(error).partition(', Timeout:')[0][:300]}"
        ) from error
    except (AutoReconnect, ConnectionFailure, ExecutionTimeout, WTimeoutError, WriteConcernError) as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
    except PyMongoError as error:
        if isinstance(error, OperationFailure) and OUT_OF_DISK_SPACE in _error_codes(error):
            raise StoreUnavailable("MongoDB has no disk space left") from None  # its text has the content
        if isinstance(error, OperationFailure) and error.code == AUTHENTICATION_FAILED:
            raise StoreUnavailable(AUTHENTICATION_FAILED_MESSAGE) from error
        if error.has_error_label("TransientTransactionError") or error.has_error_label("RetryableWriteError"):
            raise StoreUnavailable(type(error).__name__) from error  # the text of a bulk write has its content
        raise


async def insert_new(collection: Collection, documents: Sequence[Document]) -> Sequence[Document]:
    """Insert each document whose `_id` does not exist yet; return the others. Idempotent. Raises StoreUnavailable."""
    if not documents:
        return ()
    try:
        with translate_errors():
            await collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        if has_errors_besides_duplicates(error):
            raise
        return [documents[write["index"]] for write in error.details["writeErrors"]]
    return ()


@dataclass(frozen=True, slots=True)
class GuardedWrite:
    """A new version of a document, written only if the stored version is still the one that was read."""

    id: UUID
    version: int
    """`v` as it was read; 0 if there was no document."""
    fields: Document
    outbox_entries: Sequence[Document] = ()
    """The derived events, as the outbox stores them."""

    def to_update(self, write_id: UUID) -> UpdateOne:
        """The update; it does not recreate a document that was deleted since it was read."""
        change: Document = {"$set": {**self.fields, "written": write_id}, "$inc": {"v": 1}}
        if self.outbox_entries:
            change["$push"] = {"owed": {"$each": list(self.outbox_entries)}}
        expected = {"_id": self.id, "v": self.version or {"$exists": False}}
        return UpdateOne(expected, change, upsert=not self.version)


async def write_guarded(collection: Collection, writes: Sequence[GuardedWrite]) -> set[UUID]:
    """Do each write completely or not at all; return the ids of conflicts: documents changed or deleted concurrently.

    One round trip, and a second one if there was a conflict. In that case, the ids may include a write that succeeded
    and was overwritten right afterwards, so retrying must be idempotent. Raises StoreUnavailable.
    """
    if not writes:
        return set()
    write_id = uuid4()  # the database reports how many documents it wrote, not which
    try:
        with translate_errors():
            result = await collection.bulk_write([write.to_update(write_id) for write in writes], ordered=False)
        if result.matched_count + result.upserted_count == len(writes):
            return set()
    except BulkWriteError as error:
        if has_errors_besides_duplicates(error):
            raise
    ids = {write.id for write in writes}
    with translate_errors():
        written = await collection.find({"_id": {"$in": list(ids)}, "written": write_id}, {"_id": 1}).to_list(None)
    return ids - {document["_id"] for document in written}


def _error_codes(error: OperationFailure) -> set[int | None]:
    details = error.details or {}
    return {error.code, *(write["code"] for write in details.get("writeErrors", ()))}


def has_errors_besides_duplicates(error: BulkWriteError) -> bool:
    """Whether a bulk write failed for another reason than documents that already exist."""
    details = error.details or {}
    error_codes = {write["code"] for write in details.get("writeErrors", ())}
    return bool(error_codes - {DUPLICATE_KEY} or details.get("writeConcernErrors"))
