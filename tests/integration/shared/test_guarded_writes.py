"""Guarded writes of many documents: each is written over the version that was read, or reported as a conflict."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal
from uuid import UUID, uuid4

import pytest

from shared.mongo.client import Collection, GuardedWrite, Mongo, write_guarded


@pytest.fixture(params=["motor", "pymongo"])
async def counts(request: pytest.FixtureRequest, mongodb_uri: str) -> AsyncIterator[Collection]:
    driver: Literal["motor", "pymongo"] = request.param
    mongo = Mongo(mongodb_uri, f"test_{uuid4().hex}", driver)
    yield mongo["counts"]
    await mongo.close()


async def add_number(counts: Collection, number: int, ids: set[UUID]) -> None:
    """Add `number` to each document that does not have it; load again after a conflict."""
    while ids:
        stored = {
            document["_id"]: document for document in await counts.find({"_id": {"$in": list(ids)}}).to_list(None)
        }
        current = {document_id: stored.get(document_id, {"v": 0, "by": []}) for document_id in ids}
        writes = [
            GuardedWrite(document_id, document["v"], {"by": [*document["by"], number]})
            for document_id, document in current.items()
            if number not in document["by"]
        ]
        ids = await write_guarded(counts, writes)


async def test_no_concurrent_write_of_the_same_documents_is_lost(counts: Collection) -> None:
    ids = {uuid4() for _ in range(20)}

    await asyncio.gather(*(add_number(counts, number, ids) for number in range(6)))

    assert [sorted(d["by"]) for d in await counts.find({}).to_list(None)] == [list(range(6))] * 20


async def test_a_document_changed_or_deleted_concurrently_is_a_conflict_and_stays_as_it_is(counts: Collection) -> None:
    new, unchanged, changed, deleted, existing = (uuid4() for _ in range(5))
    await write_guarded(counts, [GuardedWrite(i, 0, {"by": "first"}) for i in (unchanged, changed, deleted, existing)])
    await write_guarded(counts, [GuardedWrite(changed, 1, {"by": "somebody else"})])
    await counts.delete_one({"_id": deleted})

    conflicts = await write_guarded(
        counts,
        [
            *(GuardedWrite(new, 0, {"by": "us"}), GuardedWrite(unchanged, 1, {"by": "us"})),
            *(
                GuardedWrite(changed, 1, {"by": "us"}),
                GuardedWrite(deleted, 1, {"by": "us"}),
                GuardedWrite(existing, 0, {"by": "us"}),
            ),
        ],
    )

    assert conflicts == {changed, deleted, existing}
    assert {d["_id"]: d["by"] for d in await counts.find({}).to_list(None)} == {
        new: "us",
        unchanged: "us",
        changed: "somebody else",
        existing: "first",
    }


async def test_outbox_entries_are_added_in_the_same_write(counts: Collection) -> None:
    document_id = uuid4()

    await write_guarded(counts, [GuardedWrite(document_id, 0, {}, [{"id": 1}])])
    await write_guarded(counts, [GuardedWrite(document_id, 1, {})])
    await write_guarded(counts, [GuardedWrite(document_id, 2, {}, [{"id": 2}, {"id": 3}])])
    await write_guarded(counts, [GuardedWrite(document_id, 1, {}, [{"id": 4}])])

    document = await counts.find_one({"_id": document_id})
    assert document is not None
    assert [entry["id"] for entry in document["owed"]] == [1, 2, 3]


async def test_writing_nothing_has_no_conflicts(counts: Collection) -> None:
    assert await write_guarded(counts, []) == set()
