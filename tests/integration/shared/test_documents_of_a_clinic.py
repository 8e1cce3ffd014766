"""To one clinic, the documents of every other clinic are as if they did not exist: in memory as in MongoDB."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, ConfigDict

from shared.access.clinic_id import ClinicId
from shared.errors import IdTaken, Rejected
from shared.events import Event
from shared.mongo.client import Mongo
from shared.outbox.documents import (
    Change,
    Decide,
    DocumentCollection,
    Documents,
    Transaction,
    Versioned,
    change_in_transaction,
)
from shared.outbox.memory import InMemoryDocuments
from shared.runtime.clock import now
from tests.support.mongo import create_idle_outbox, open_mongo

OURS, THEIRS = ClinicId(uuid4()), ClinicId(uuid4())


class Owner(BaseModel):
    """Whose a note is."""

    model_config = ConfigDict(frozen=True)

    clinic_id: UUID


class Note(BaseModel):
    """A text that belongs to a clinic."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    owner: Owner
    text: str


def make_note(clinic: ClinicId, text: str) -> Note:
    return Note(owner=Owner(clinic_id=clinic), text=text)


def write(note: Note) -> Decide[Note]:
    return lambda _: (note, ())


def correct(before: Note | None) -> tuple[Note, Sequence[Event]]:
    """Changes a note that exists; one that does not cannot be corrected."""
    if before is None:
        raise Rejected("unknown", "there is no such note")
    return before.model_copy(update={"text": "corrected"}), ()


def open_documents(mongo: Mongo) -> Documents[Note]:
    return Documents(
        mongo["notes"], Note, create_idle_outbox(mongo, ["notes"], now), now, clinic_field="owner.clinic_id"
    )


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def notes(request: pytest.FixtureRequest) -> AsyncIterator[DocumentCollection[Note]]:
    if request.param == "memory":
        yield InMemoryDocuments[Note]([], "owner.clinic_id")
        return
    async with open_mongo(request.getfixturevalue("mongodb_uri"), request.param) as mongo:
        yield open_documents(mongo)


async def test_a_clinic_reads_its_own_documents_only(notes: DocumentCollection[Note]) -> None:
    note_id, note = uuid4(), make_note(OURS, "ours")
    await notes.within(OURS).change(note_id, write(note))

    assert await notes.within(OURS).load(note_id) == Versioned(note_id, note, 1)
    assert await notes.within(THEIRS).load(note_id) is None
    assert await notes.within(THEIRS).get(note_id) is None
    assert await notes.within(None).get(note_id) == await notes.get(note_id) == note


async def test_a_change_of_a_document_of_another_clinic_is_decided_as_if_it_did_not_exist(
    notes: DocumentCollection[Note],
) -> None:
    note_id, note = uuid4(), make_note(THEIRS, "theirs")
    await notes.within(THEIRS).change(note_id, write(note))

    with pytest.raises(Rejected, match="there is no such note"):
        await notes.within(OURS).change(note_id, correct)

    assert await notes.load(note_id) == Versioned(note_id, note, 1)


async def test_a_document_of_another_clinic_is_not_written_even_if_it_was_loaded_already(
    notes: DocumentCollection[Note],
) -> None:
    note_id, note = uuid4(), make_note(THEIRS, "theirs")
    await notes.change(note_id, write(note))

    with pytest.raises(Rejected, match="there is no such note"):
        await notes.within(OURS).change(note_id, correct, await notes.load(note_id))

    assert await notes.load(note_id) == Versioned(note_id, note, 1)


async def test_an_id_of_another_clinic_is_taken_and_its_document_stays(notes: DocumentCollection[Note]) -> None:
    ids = [uuid4(), uuid4()]
    for note_id in ids:
        await notes.within(THEIRS).change(note_id, write(make_note(THEIRS, "theirs")))

    answers = []
    for note_id in ids:
        with pytest.raises(IdTaken) as raised:
            await notes.within(OURS).change(note_id, write(make_note(OURS, "ours")))
        answers.append((raised.value.code, str(raised.value)))

    assert answers[0] == answers[1]
    assert [await notes.load(i) for i in ids] == [Versioned(i, make_note(THEIRS, "theirs"), 1) for i in ids]


async def test_a_clinic_changes_its_own_document(notes: DocumentCollection[Note]) -> None:
    note_id = uuid4()
    await notes.within(OURS).change(note_id, write(make_note(OURS, "ours")))

    change = await notes.within(OURS).change(note_id, correct)

    assert change == Change(make_note(OURS, "ours"), make_note(OURS, "corrected"), ())
    assert await notes.load(note_id) == Versioned(note_id, change.after, 2)


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_in_a_transaction_an_id_of_another_clinic_is_taken_and_nothing_is_written(
    mongodb_uri: str, driver: str
) -> None:
    own_id, foreign_id = uuid4(), uuid4()
    async with open_mongo(mongodb_uri, "motor" if driver == "motor" else "pymongo") as mongo:
        notes = open_documents(mongo)
        await notes.change(foreign_id, write(make_note(THEIRS, "theirs")))

        async def change_both(transaction: Transaction) -> None:
            await transaction.change(notes.within(OURS), own_id, write(make_note(OURS, "ours")))
            await transaction.change(notes.within(OURS), foreign_id, write(make_note(OURS, "ours")))

        with pytest.raises(IdTaken):
            await change_in_transaction(mongo, change_both)

        assert await notes.get(own_id) is None
        assert await notes.load(foreign_id) == Versioned(foreign_id, make_note(THEIRS, "theirs"), 1)


async def test_a_transaction_neither_finds_nor_locks_a_document_of_another_clinic(mongodb_uri: str) -> None:
    note_id = uuid4()
    async with open_mongo(mongodb_uri, "pymongo") as mongo:
        notes = open_documents(mongo)
        await notes.change(note_id, write(make_note(THEIRS, "theirs")))

        async def find(clinic: ClinicId, transaction: Transaction) -> list[Note]:
            await transaction.lock(notes.within(clinic), [note_id])
            return await transaction.find_all(notes.within(clinic), {"_id": note_id})

        assert await change_in_transaction(mongo, partial(find, OURS)) == []
        assert await notes.load(note_id) == Versioned(note_id, make_note(THEIRS, "theirs"), 1)
        assert await change_in_transaction(mongo, partial(find, THEIRS)) == [make_note(THEIRS, "theirs")]
        assert await notes.load(note_id) == Versioned(note_id, make_note(THEIRS, "theirs"), 2)
