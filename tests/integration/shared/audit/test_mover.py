"""The lines of changes and of reads reach their chains once, whenever the process that moves them dies."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict

from shared.audit.chain import AuditEntry
from shared.audit.line import AuditLine
from shared.audit.metrics import AuditMetrics
from shared.audit.mover import LineMover
from shared.audit.pending import ChangedDocuments, PendingLines
from shared.audit.spool import Spool, SpooledLines
from shared.audit.store.mongo import MongoAuditStore
from shared.audit.store.protocol import AuditStore
from shared.audit.writer import ChainWriter
from shared.events import Event
from shared.mongo.client import Mongo
from shared.outbox.documents import DocumentCollection, Documents, Transaction, change_in_transaction
from shared.outbox.memory import InMemoryDocuments
from shared.runtime.clock import now
from tests.integration.shared.audit.test_writer import STEPS
from tests.support.audit_builders import ELM, KEY, KEYS, make_line, make_lines
from tests.support.audit_stores import Killed, KillingStore, Step, find_problems
from tests.support.mongo import create_idle_outbox, open_mongo
from tests.support.serving import wait_until

pytestmark = pytest.mark.integration

SHORT_LEASE = timedelta(milliseconds=20)


class Note(BaseModel):
    """A text that people change."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str


def write(text: str) -> Any:
    def decide(before: Note | None) -> tuple[Note, Sequence[Event]]:
        if text == "invalid":
            raise ValueError(text)
        return Note(text=text), ()

    return decide


class World:
    """A service with one collection, its spool and its chains."""

    def __init__(self, mongo: Mongo, spool_folder: Path) -> None:
        outbox = create_idle_outbox(mongo, ["notes"], now)
        self.mongo = mongo
        self.notes = Documents(mongo["notes"], Note, outbox, now)
        self.store = MongoAuditStore(mongo)
        self.spool_folder = spool_folder
        self.spool = Spool(spool_folder, 10_000_000)
        self.registry = CollectorRegistry()
        self.metrics = AuditMetrics(self.registry)

    def create_mover(
        self,
        store: AuditStore | None = None,
        changed_documents: ChangedDocuments | None = None,
        spool: Spool | None = None,
    ) -> LineMover:
        writer = ChainWriter(store or self.store, KEY, uuid4(), SHORT_LEASE)
        changed_documents = changed_documents or ChangedDocuments([self.mongo["notes"]])
        return LineMover(writer, changed_documents, spool or self.spool, self.metrics, now)

    async def restart(self) -> None:
        """The process died: its locks are released, and another one moves what it left."""
        self.spool.close()
        self.spool = Spool(self.spool_folder, 10_000_000)
        mover = self.create_mover()

        async def is_all_moved() -> bool:
            await mover.move_changes()
            await mover.move_reads()
            return self.spool.size_bytes == 0 and not await ChangedDocuments([self.mongo["notes"]]).load()

        await wait_until(is_all_moved)

    async def chained(self) -> list[UUID]:
        assert await find_problems(self.store, ELM, KEYS) == []
        return [entry.line.id async for entry in self.store.stream(ELM) if isinstance(entry, AuditEntry)]


@pytest.fixture(params=["motor", "pymongo"])
async def world(request: pytest.FixtureRequest, mongodb_uri: str, tmp_path: Path) -> AsyncIterator[World]:
    async with open_mongo(mongodb_uri, request.param) as mongo:
        world = World(mongo, tmp_path / "spool")
        await ChangedDocuments([mongo["notes"]]).create_indexes()
        yield world
        world.spool.close()


def ids(lines: Sequence[AuditLine]) -> list[UUID]:
    return sorted(line.id for line in lines)


async def test_the_lines_of_changes_and_of_reads_are_moved_and_removed(world: World) -> None:
    changes, reads = make_lines(3), make_lines(2)
    document_id = uuid4()
    await world.notes.audited(changes[0]).change(document_id, write("one"))
    await world.notes.audited(*changes[1:]).change(document_id, write("two"))
    for line in reads:
        world.spool.write(line)
    mover = world.create_mover()
    await mover.count_waiting()
    assert (world.registry.get_sample_value("attune_audit_spool_bytes") or 0) > 0

    await mover.move_changes()
    await mover.move_reads()
    await mover.count_waiting()

    assert await world.chained() == [line.id for line in [*changes, *reads]]
    stored = await world.mongo["notes"].find_one({"_id": document_id})
    assert stored is not None
    assert (stored["audit"], stored["v"], stored["text"]) == ([], 2, "two")
    assert world.registry.get_sample_value("attune_audit_lines_chained_total", {"kind": "change"}) == 3
    assert world.registry.get_sample_value("attune_audit_lines_chained_total", {"kind": "read"}) == 2
    assert world.registry.get_sample_value("attune_audit_spool_bytes") == 0


@pytest.mark.parametrize("step", STEPS, ids=" ".join)
async def test_a_crash_while_lines_are_appended_loses_and_repeats_none(world: World, step: Step) -> None:
    changes, reads = make_lines(4), make_lines(4)
    for line in changes:
        await world.notes.audited(line).change(uuid4(), write("one"))
    for line in reads:
        world.spool.write(line)
    killed = world.create_mover(KillingStore(world.store, step))

    with pytest.raises(Killed):
        await killed.move_changes()
    with pytest.raises(Killed):
        await killed.move_reads()
    await world.restart()

    assert sorted(await world.chained()) == ids([*changes, *reads])


class KillingDocuments(ChangedDocuments):
    """Kills its caller before it removes lines."""

    async def remove(self, pending: PendingLines) -> None:
        raise Killed


class KillingSpool(Spool):
    """Kills its caller before it removes a file."""

    def remove(self, spooled: SpooledLines) -> None:
        raise Killed


async def test_a_crash_between_chaining_and_removing_repeats_no_line(world: World) -> None:
    change, read = make_lines(2)
    await world.notes.audited(change).change(uuid4(), write("one"))
    world.spool.write(read)
    world.spool.close()
    spool = KillingSpool(world.spool_folder, 10_000_000)
    killed = world.create_mover(None, KillingDocuments([world.mongo["notes"]]), spool)

    with pytest.raises(Killed):
        await killed.move_changes()
    with pytest.raises(Killed):
        await killed.move_reads()
    assert await world.chained() == [change.id, read.id]
    spool.close()
    await world.restart()

    assert await world.chained() == [change.id, read.id]


async def test_lines_wait_while_another_writer_has_their_chain(world: World) -> None:
    change, read = make_lines(2)
    await world.notes.audited(change).change(uuid4(), write("one"))
    world.spool.write(read)
    await world.store.claim(ELM, uuid4(), timedelta(milliseconds=200))
    mover = world.create_mover()

    await mover.move_changes()
    await mover.move_reads()
    assert await world.chained() == []
    await world.restart()

    assert sorted(await world.chained()) == ids([change, read])


async def test_the_oldest_line_is_chained_first(world: World) -> None:
    changed_documents = ChangedDocuments([world.mongo["notes"]])
    assert await changed_documents.find_oldest() is None
    newer, older = (make_line(minutes=minutes) for minutes in (2, 1))
    for line in (newer, older):
        await world.notes.audited(line).change(uuid4(), write("one"))

    assert await changed_documents.find_oldest() == older.at
    await world.create_mover().move_changes()

    assert await world.chained() == [older.id, newer.id]


async def test_more_lines_than_one_batch_are_moved(world: World) -> None:
    lines = make_lines(1_200)
    documents = [{"_id": uuid4(), "audit": [_stored(line)]} for line in lines]
    await world.mongo["notes"].insert_many(documents)

    await world.create_mover().move_changes()

    assert await world.chained() == [line.id for line in lines]


def _stored(line: AuditLine) -> dict[str, Any]:
    return {**line.model_dump(exclude_none=True), "targets": [target.model_dump() for target in line.targets]}


@pytest.fixture(params=["memory", "mongo"])
async def notes(request: pytest.FixtureRequest) -> AsyncIterator[DocumentCollection[Note]]:
    if request.param == "memory":
        yield InMemoryDocuments[Note]([])
        return
    async with open_mongo(request.getfixturevalue("mongodb_uri"), "motor") as mongo:
        yield Documents(mongo["notes"], Note, create_idle_outbox(mongo, ["notes"], now), now)


async def pending_lines(notes: DocumentCollection[Note]) -> list[AuditLine]:
    if isinstance(notes, InMemoryDocuments):
        return notes.pending_lines
    assert isinstance(notes, Documents)
    return [line for pending in await ChangedDocuments([notes.collection]).load() for line in pending.lines]


async def test_a_change_is_written_with_its_line_or_not_at_all(notes: DocumentCollection[Note]) -> None:
    document_id, line = uuid4(), make_line("complete_session")

    with pytest.raises(ValueError, match="invalid"):
        await notes.audited(line).change(document_id, write("invalid"))
    assert await pending_lines(notes) == []

    assert (await notes.audited(line).change(document_id, write("one"))).is_written
    assert await pending_lines(notes) == [line]


async def test_a_change_that_was_made_before_writes_no_line(notes: DocumentCollection[Note]) -> None:
    document_id = uuid4()
    await notes.change(document_id, write("one"))

    assert not (await notes.audited(make_line()).change(document_id, write("one"))).is_written

    assert await pending_lines(notes) == []


async def test_a_change_of_several_documents_is_written_with_its_line(mongodb_uri: str) -> None:
    async with open_mongo(mongodb_uri, "motor") as mongo:
        notes = Documents(mongo["notes"], Note, create_idle_outbox(mongo, ["notes"], now), now)
        line = make_line("transfer_relationship")

        async def change(transaction: Transaction) -> None:
            await transaction.change(notes.audited(line), uuid4(), write("one"))
            await transaction.change(notes, uuid4(), write("two"))

        await change_in_transaction(mongo, change)

        assert await pending_lines(notes) == [line]
