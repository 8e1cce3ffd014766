"""The contract of the store of sessions, for the store in memory and for MongoDB with either driver."""

import asyncio
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

from services.sessions.domain import feedback
from services.sessions.domain.appointment import cancel, schedule
from services.sessions.domain.clinic import Clinic
from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Cancelled, Decision, Session
from services.sessions.store.protocol import Store
from shared.outbox.documents import Versioned
from shared.runtime.clock import now
from tests.support.sessions_builders import (
    CLINIC,
    NOW,
    STARTS_AT,
    WINDOW,
    clinic_updated,
    completed_session,
    make_answer,
    make_relationship,
    scheduled_session,
)

LAPSED_AT = STARTS_AT + timedelta(minutes=50) + WINDOW
"""When the requests of `completed_session` lapse."""


async def save(store: Store, *sessions: Session) -> None:
    for session in sessions:
        await store.sessions.within(None).change(session.session_id, lambda _, after=session: (after, ()))  # type: ignore[misc]


async def load(store: Store, session_id: UUID) -> Versioned[Session]:
    loaded = await store.sessions.within(None).load(session_id)
    assert loaded is not None
    return loaded


def lapse(session: Session) -> Decision:
    return feedback.lapse(session, make_relationship(), LAPSED_AT)


async def test_an_unknown_session_is_none(store: Store) -> None:
    assert await store.sessions.within(None).get(uuid4()) is None
    assert await store.sessions.within(None).load(uuid4()) is None
    assert await store.find_by_link("unknown") is None


async def test_the_newest_event_about_a_clinic_counts_whatever_the_order(store: Store) -> None:
    old, new = clinic_updated("Elm", 1), clinic_updated("Oak", 2)

    assert await store.find_clinic(CLINIC) is None
    for events in ([new], [old], [old, new], [new, old]):
        await store.save_clinics(events)
        assert await store.find_clinic(CLINIC) == Clinic.of(new)


async def test_concurrent_events_about_a_clinic_leave_the_newest(store: Store) -> None:
    events = [clinic_updated(f"Clinic {day}", day) for day in range(1, 20)]

    await asyncio.gather(*(store.save_clinics([event]) for event in events))

    assert await store.find_clinic(CLINIC) == Clinic.of(events[-1])


async def test_a_session_is_loaded_as_it_was_written_with_its_version(store: Store) -> None:
    relationship = make_relationship()
    session = completed_session(relationship)

    await save(store, session)
    assert await load(store, session.session_id) == Versioned(session.session_id, session, 1)
    assert await store.sessions.within(None).get(session.session_id) == session

    await save(store, session)
    assert (await load(store, session.session_id)).version == 1, "nothing changed, so nothing was written"


async def test_a_change_returns_what_it_did(store: Store) -> None:
    relationship, session_id = make_relationship(), uuid4()

    def decide(before: Session | None) -> Decision:
        return schedule(before, session_id, relationship, STARTS_AT, 50, STARTS_AT - timedelta(days=1))

    first = await store.sessions.within(None).change(session_id, decide)
    second = await store.sessions.within(None).change(
        session_id, decide, await store.sessions.within(None).load(session_id)
    )

    assert (first.before, first.after.session_id, len(first.events)) == (None, session_id, 1)
    assert (second.before, second.after, list(second.events)) == (first.after, first.after, [])


async def test_a_change_of_an_outdated_session_is_decided_again(store: Store) -> None:
    session = scheduled_session(make_relationship())
    await save(store, session)
    outdated = await load(store, session.session_id)
    cancellation = Cancelled(by="client", cancelled_at=STARTS_AT - timedelta(days=1))

    def cancel_existing(before: Session | None) -> Decision:
        assert before is not None
        return cancel(before, cancellation, NOW)

    first = await store.sessions.within(None).change(session.session_id, cancel_existing)
    second = await store.sessions.within(None).change(session.session_id, cancel_existing, outdated)

    assert (second.before, list(second.events)) == (first.after, [])
    assert (await load(store, session.session_id)).version == 2


async def test_parallel_changes_of_one_session_have_their_events_once(store: Store) -> None:
    relationship = make_relationship()
    session = completed_session(relationship)
    await save(store, session)

    def answer(before: Session | None) -> Decision:
        assert before is not None
        return feedback.record_answer(before, relationship, "client", make_answer(), NOW, NOW, WINDOW, "system")

    changes = await asyncio.gather(*(store.sessions.within(None).change(session.session_id, answer) for _ in range(5)))

    assert sum(len(change.events) for change in changes) == 1
    assert (await load(store, session.session_id)).version == 2


async def test_a_session_is_found_by_each_of_its_links(store: Store) -> None:
    session = completed_session(make_relationship())
    await save(store, session, scheduled_session(make_relationship()))

    found = [await store.find_by_link(link_hash) for link_hash in session.link_hashes]

    assert found == [Versioned(session.session_id, session, 1)] * 2


async def test_the_sessions_of_a_relationship_are_counted_up_to_a_limit(store: Store) -> None:
    relationship, other = make_relationship(), make_relationship()
    await save(store, *(scheduled_session(relationship) for _ in range(3)), scheduled_session(other))

    assert [await store.count_sessions(None, relationship.relationship_id, limit) for limit in (2, 3, 10)] == [2, 3, 3]
    assert await store.count_sessions(None, uuid4(), 10) == 0


async def test_a_relationship_is_created_and_then_updated(store: Store) -> None:
    relationship = make_relationship()
    known, unknown = relationship.relationship_id, uuid4()

    def start(before: Relationship) -> Relationship:
        return before.model_copy(update=relationship.model_dump(include={"started_at", "clinic_id", "clinician_id"}))

    def consent(before: Relationship) -> Relationship:
        return before.model_copy(update={"consent": True})

    await store.update_relationships([known], start)
    updated = await store.update_relationships([known], consent)
    await store.update_relationships([], consent)

    assert updated == {known: relationship}
    assert await store.find_relationship(None, known) == relationship
    assert await store.load_relationships([known, unknown]) == updated
    assert await store.find_relationship(None, unknown) is None


async def test_parallel_updates_of_a_relationship_are_all_kept(store: Store) -> None:
    relationship_ids = [uuid4() for _ in range(3)]

    def add_letter(letter: str, before: Relationship) -> Relationship:
        letters = {*(before.case_code or "AB"), letter}
        return before.model_copy(update={"case_code": "".join(sorted(letters))})

    await asyncio.gather(
        *(store.update_relationships(relationship_ids, partial(add_letter, letter)) for letter in "ABCDEFGH")
    )

    stored = await store.load_relationships(relationship_ids)
    assert [stored[i].case_code for i in relationship_ids] == ["ABCDEFGH"] * 3


async def test_overdue_sessions_are_found_the_oldest_first(store: Store) -> None:
    relationship = make_relationship()
    early, late = completed_session(relationship), completed_session(relationship)
    request = early.feedback["client"]
    early = early.with_request("client", request.model_copy(update={"lapses_at": LAPSED_AT - timedelta(hours=1)}))
    await save(store, late, early, scheduled_session(relationship))

    assert [found.value for found in await store.find_overdue(LAPSED_AT)] == [early, late]
    assert [found.value for found in await store.find_overdue(LAPSED_AT - timedelta(minutes=1))] == [early]
    assert await store.find_overdue(LAPSED_AT - timedelta(hours=2)) == []


async def test_overdue_requests_lapse_once_although_two_processes_decide(store: Store) -> None:
    sessions = [completed_session(make_relationship()) for _ in range(10)]
    await save(store, *sessions)
    overdue = await store.find_overdue(LAPSED_AT)

    results = await asyncio.gather(*(store.save_decisions(overdue, lapse) for _ in range(2)))

    events = [event for result in results for event in result]
    assert len({event.id for event in events}) == len(events) == 2 * len(sessions)
    assert await store.find_overdue(LAPSED_AT) == []


async def test_a_session_that_changed_since_it_was_loaded_is_not_written(store: Store) -> None:
    relationship = make_relationship()
    changed, unchanged = completed_session(relationship), completed_session(relationship)
    await save(store, changed, unchanged)
    overdue = await store.find_overdue(LAPSED_AT)
    answered, _ = feedback.record_answer(changed, relationship, "client", make_answer(), NOW, NOW, WINDOW, "system")
    await save(store, answered)

    events = await store.save_decisions(overdue, lapse)

    assert {getattr(event, "session_id", None) for event in events} == {unchanged.session_id}
    assert (await load(store, changed.session_id)).value == answered
    assert [found.value for found in await store.find_overdue(LAPSED_AT)] == [answered]


async def test_the_sessions_of_an_erased_client_are_deleted(store: Store) -> None:
    erased, remaining = make_relationship(), make_relationship()
    sessions = [completed_session(erased), scheduled_session(erased), completed_session(remaining)]
    await save(store, *sessions)

    await store.erase_sessions([erased.relationship_id])
    await store.erase_sessions([erased.relationship_id])

    assert [await store.sessions.within(None).get(s.session_id) for s in sessions] == [None, None, sessions[2]]


async def test_the_time_of_the_store_goes_forward(store: Store) -> None:
    first, second = await store.server_time(), await store.server_time()

    assert first <= second
    assert abs(first - now()) < timedelta(minutes=1)
