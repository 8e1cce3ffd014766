"""The contract of a store, for the store in memory and for MongoDB with either driver."""

import asyncio
import json
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.alliance.domain.fold import FoldResult, fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.state.alliance import Alliance, RetrospectiveSign
from services.alliance.domain.state.history import HISTORY_EVENTS, HistoryEvent, sort_events
from services.alliance.domain.tuning.dispositions import Disposition, Reopening
from services.alliance.store.mongo import MAX_DECODED_ON_LOOP, MongoStore
from services.alliance.store.protocol import Store, VersionedState
from shared.access.clinic_id import ClinicId
from shared.events import by_type
from shared.events.cloudevents import MAX_EVENT_BYTES, decode, encode
from shared.mongo.client import Mongo
from tests.support.builders import FIRST_SESSION_AT, RelationshipBuilder


async def test_an_event_is_stored_once_however_often_it_is_delivered(store: Store) -> None:
    builder = RelationshipBuilder()
    events: list[HistoryEvent] = [builder.started(), builder.completed(0), builder.feedback(0)]

    await store.append(events)
    await store.append([events[2], events[1], events[1]])

    history = (await store.history([builder.relationship_id]))[builder.relationship_id]
    assert sorted(event.id for event in history) == sorted(event.id for event in events)
    assert fold(history, DEFAULT_POLICY) == fold(events, DEFAULT_POLICY)


async def test_a_long_history_is_read_back(store: Store) -> None:
    builder, other = RelationshipBuilder(), RelationshipBuilder()
    events = [builder.feedback(week) for week in range(MAX_DECODED_ON_LOOP + 1)]
    await store.append([*events, other.feedback(0)])

    histories = await store.history([builder.relationship_id, other.relationship_id])

    assert sort_events(histories[builder.relationship_id]) == events
    assert histories[other.relationship_id] == [other.feedback(0)]


async def test_of_several_contents_under_one_id_the_same_one_is_stored_in_any_order(store: Store) -> None:
    first, last = RelationshipBuilder(), RelationshipBuilder()
    contents: list[HistoryEvent] = [first.completed(0), first.completed(0, minutes=20), last.missed(1)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        event_id = uuid4()
        events = [contents[index].model_copy(update={"id": event_id}) for index in order]
        known = await store.append(events[:1])
        assert known == set()

        for event in events[1:]:
            known |= await store.append([event])
        again = await store.append(events)

        histories = await store.history([first.relationship_id, last.relationship_id])
        assert event_id not in {event.id for event in histories[first.relationship_id]}
        (stored,) = [event for event in histories[last.relationship_id] if event.id == event_id]
        assert stored == contents[2].model_copy(update={"id": event_id})
        assert known == again == {first.relationship_id, last.relationship_id}


@pytest.mark.parametrize("damage", [{"event": b"gone"}, {"r": UUID(int=9)}])
async def test_a_damaged_event_is_replaced_when_it_is_delivered_again(mongodb_uri: str, damage: dict[str, Any]) -> None:
    """Otherwise its relationship could not be folded, or another one would be folded with it."""
    event, mongo = RelationshipBuilder().completed(0), Mongo(mongodb_uri, f"test_{uuid4().hex}")
    store = MongoStore(mongo)
    await store.append([event])
    await mongo["facts"].update_one({"_id": event.id}, {"$set": damage})

    known = await store.append([event])

    assert known == {event.relationship_id, damage.get("r", event.relationship_id)}
    assert await store.history(known) == {r: [event] if r == event.relationship_id else [] for r in known}
    await mongo.close()


async def test_an_event_as_large_as_a_message_may_be_is_read_back(store: Store) -> None:
    """It arrives without the attributes that are optional, and is stored with them."""
    message = json.loads(encode(RelationshipBuilder().started()))
    del message["source"], message["datacontenttype"]
    padding = (MAX_EVENT_BYTES - len(json.dumps(message, separators=(",", ":")))) // len(',"loss"')
    message["data"]["aims"] += ["loss"] * padding
    event = decode(json.dumps(message, separators=(",", ":")).encode(), by_type(HISTORY_EVENTS))
    assert event is not None
    assert len(encode(event)) > MAX_EVENT_BYTES

    await store.append([event])

    assert await store.history([event.relationship_id]) == {event.relationship_id: [event]}


async def test_an_alliance_is_loaded_as_it_was_saved(store: Store) -> None:
    builder = RelationshipBuilder()
    events: list[HistoryEvent] = [
        builder.started(),
        *(
            event
            for week in range(9)
            for event in (builder.completed(week), builder.feedback(week, 9 if week < 8 else 3))
        ),
    ]
    events += [
        builder.feedback(8, 7, "clinician", tension="yes", talked_about="not"),
        builder.missed(9),
        builder.amended(3, 8),
    ]
    alliance = fold(events, DEFAULT_POLICY)

    await store.save([VersionedState(builder.relationship_id).advance(FoldResult(alliance))])

    assert (await store.load([builder.relationship_id]))[builder.relationship_id] == VersionedState(
        builder.relationship_id, FoldResult(alliance), 1
    )


async def test_what_was_found_in_retrospect_is_read_back_until_it_changes(store: Store) -> None:
    builder, sign = RelationshipBuilder(), RetrospectiveSign(uuid4(), FIRST_SESSION_AT, "concern", 0.123456789)
    first = VersionedState(builder.relationship_id).advance(FoldResult(Alliance(), retrospective=sign))
    await store.save([first])

    loaded = (await store.load([builder.relationship_id]))[builder.relationship_id]
    same, changed = loaded.advance(loaded.result), loaded.advance(FoldResult(Alliance()))
    await store.save([changed])

    assert (loaded.result.retrospective, same.version, changed.version) == (sign, 1, 2)
    reloaded = (await store.load([builder.relationship_id]))[builder.relationship_id]
    assert reloaded.result.retrospective is None


async def test_an_unknown_relationship_has_an_empty_state_at_version_0(store: Store) -> None:
    relationship = uuid4()

    assert (await store.load([relationship]))[relationship] == VersionedState(relationship, FoldResult(Alliance()), 0)
    assert await store.history([relationship]) == {relationship: []}


async def test_a_save_over_another_version_is_rejected_and_reported_as_a_conflict(store: Store) -> None:
    first, second = VersionedState(uuid4()), VersionedState(uuid4())
    alliance = Alliance(sessions=1)
    await store.save([first.advance(FoldResult(alliance))])

    conflicts = await store.save(
        [first.advance(FoldResult(Alliance(sessions=7))), second.advance(FoldResult(alliance))]
    )

    loaded = await store.load([first.relationship, second.relationship])
    assert conflicts == {first.relationship}
    assert [state.alliance.sessions for state in loaded.values()] == [1, 1]


async def test_parallel_writers_all_succeed_and_none_is_overwritten(store: Store) -> None:
    """Ten writers each add one session to the same relationship and retry until theirs is saved."""
    builder = RelationshipBuilder()

    async def add_one() -> None:
        while True:
            loaded = (await store.load([builder.relationship_id]))[builder.relationship_id]
            updated = Alliance(sessions=loaded.alliance.sessions + 1)
            if not await store.save([loaded.advance(FoldResult(updated))]):
                return
            await asyncio.sleep(0)

    await asyncio.gather(*(add_one() for _ in range(10)))

    loaded = (await store.load([builder.relationship_id]))[builder.relationship_id]
    assert (loaded.version, loaded.alliance.sessions) == (10, 10)


async def test_a_disposition_is_stored_as_first_delivered(store: Store) -> None:
    first = Disposition(uuid4(), uuid4(), uuid4(), FIRST_SESSION_AT, True, ("apart", "sudden_drop"), "0123456789ab")
    second = Disposition(uuid4(), first.relationship, uuid4(), FIRST_SESSION_AT, None)

    assert await store.record_dispositions([first]) == [first]
    assert await store.record_dispositions([replace(first, useful=False), second, second]) == [second]
    assert await store.record_dispositions([]) == []

    stored = await store.dispositions([first.relationship, uuid4()])
    assert sorted(stored, key=str) == sorted([first, second], key=str)


async def test_a_reopening_is_stored_once_and_deleted_with_its_client(store: Store) -> None:
    erased, remaining = (Reopening(uuid4(), uuid4(), uuid4(), FIRST_SESSION_AT) for _ in range(2))

    assert await store.record_reopenings([erased, remaining, erased]) == [erased, remaining]
    assert await store.record_reopenings([erased]) == []
    await store.erase({erased.relationship: uuid4()})

    assert await store.reopenings([erased.relationship, remaining.relationship]) == [remaining]


async def test_the_dispositions_of_an_erased_client_are_deleted(store: Store) -> None:
    erased, remaining = (Disposition(uuid4(), uuid4(), uuid4(), FIRST_SESSION_AT, True) for _ in range(2))
    await store.record_dispositions([erased, remaining])

    await store.erase({erased.relationship: uuid4()})

    assert await store.dispositions([erased.relationship, remaining.relationship]) == [remaining]


async def test_pages_contain_each_relationship_once(store: Store) -> None:
    builders = [RelationshipBuilder() for _ in range(7)]
    await store.save(
        [
            VersionedState(builder.relationship_id).advance(FoldResult(fold([builder.started()], DEFAULT_POLICY)))
            for builder in builders
        ]
    )
    clinic = ClinicId(builders[0].started().clinic_id)

    pages, after = [], None
    while page := await store.page(None, after, 3):
        pages.append(page)
        after = page[-1]

    assert [len(page) for page in pages] == [3, 3, 1]
    assert {r for page in pages for r in page} == {builder.relationship_id for builder in builders}
    assert (await store.count(None), await store.count(clinic), await store.count(ClinicId(uuid4()))) == (7, 1, 0)
    assert await store.page(clinic, None, 3) == [builders[0].relationship_id]


async def test_a_caseload_lists_relationships_of_most_concern_first(store: Store) -> None:
    calm, ruptured = RelationshipBuilder(), RelationshipBuilder()
    start = calm.started()
    ids = {"clinic_id": start.clinic_id, "clinician_id": start.clinician_id}
    states = []
    for builder, last_rating in ((calm, 9), (ruptured, 2)):
        events: list[HistoryEvent] = [
            builder.started().model_copy(update=ids),
            builder.consent_changed(-0.5, given=True),
        ]
        events += [builder.feedback(0), builder.feedback(1), builder.feedback(2, last_rating)]
        states.append(VersionedState(builder.relationship_id).advance(FoldResult(fold(events, DEFAULT_POLICY))))
    await store.save(states)

    listed = await store.caseload(None, "clinician", start.clinician_id, 10)

    assert {state.relationship for state in listed} == {calm.relationship_id, ruptured.relationship_id}
    assert listed[0].relationship == ruptured.relationship_id
    assert await store.caseload(None, "clinic", start.clinic_id, 1) == listed[:1]
    assert await store.caseload(None, "clinic", start.clinic_id, 10, skip=1) == listed[1:]
