"""What the store of sessions keeps from other clinics, for the store in memory and for MongoDB with either driver."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from services.sessions.domain.appointment import cancel, schedule
from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Cancelled, Decision, Session
from services.sessions.store.mongo import RELATIONSHIPS, SESSIONS, MongoStore
from services.sessions.store.protocol import Store
from shared.access.clinic_id import ClinicId
from shared.clinics.backfill import UnknownClinics
from shared.errors import IdTaken
from shared.runtime.clock import now
from tests.support.mongo import create_idle_outbox, open_mongo
from tests.support.sessions_builders import (
    CLINIC,
    NOW,
    OTHER_CLINIC,
    STARTS_AT,
    completed_session,
    make_relationship,
    scheduled_session,
)

CLINICS = (CLINIC, OTHER_CLINIC)


async def save_session(store: Store, clinic: ClinicId | None, relationship_id: UUID | None = None) -> Session:
    session = scheduled_session(make_relationship(clinic_id=clinic, relationship_id=relationship_id))
    await store.sessions.within(None).change(session.session_id, lambda _: (session, ()))
    return session


async def save_relationship(store: Store, relationship: Relationship) -> Relationship:
    await store.update_relationships([relationship.relationship_id], lambda _: relationship)
    return relationship


def cancel_existing(before: Session | None) -> Decision:
    assert before is not None
    return cancel(before, Cancelled(by="client", cancelled_at=STARTS_AT - timedelta(days=1)), NOW)


async def test_a_session_exists_for_its_own_clinic_only(store: Store) -> None:
    own, foreign, unknown = [await save_session(store, clinic) for clinic in (CLINIC, OTHER_CLINIC, None)]

    found = [await store.sessions.within(CLINIC).get(s.session_id) for s in (own, foreign, unknown)]
    loaded = [await store.sessions.within(CLINIC).load(s.session_id) for s in (foreign, unknown)]

    assert found == [own, None, None]
    assert loaded == [None, None]


async def test_an_appointment_under_the_id_of_another_clinic_is_rejected_and_changes_nothing(store: Store) -> None:
    foreign, relationship = await save_session(store, OTHER_CLINIC), make_relationship()

    def decide(before: Session | None) -> Decision:
        return schedule(before, foreign.session_id, relationship, STARTS_AT, 30, STARTS_AT - timedelta(days=1))

    with pytest.raises(IdTaken):
        await store.sessions.within(CLINIC).change(foreign.session_id, decide)
    assert await store.sessions.within(None).get(foreign.session_id) == foreign


async def test_a_relationship_and_its_sessions_exist_for_its_own_clinic_only(store: Store) -> None:
    own = await save_relationship(store, make_relationship())
    await save_session(store, CLINIC, own.relationship_id)
    unknown = await save_relationship(store, make_relationship(clinic_id=None))

    assert [await store.find_relationship(clinic, own.relationship_id) for clinic in CLINICS] == [own, None]
    assert [await store.count_sessions(clinic, own.relationship_id, 10) for clinic in CLINICS] == [1, 0]
    assert [await store.find_relationship(clinic, unknown.relationship_id) for clinic in CLINICS] == [None, None]


async def test_a_link_says_the_clinic(store: Store) -> None:
    session = completed_session(make_relationship(clinic_id=OTHER_CLINIC))
    await store.sessions.within(None).change(session.session_id, lambda _: (session, ()))

    found = await store.find_by_link(session.link_hashes[0])

    assert found is not None
    assert found.value.clinic_id == OTHER_CLINIC


async def test_what_has_no_clinic_is_counted_without_erased_clients(store: Store) -> None:
    relationship = make_relationship(clinic_id=None).model_copy(update={"clinician_id": None})
    erased = Relationship(relationship_id=uuid4(), erased_at=NOW)
    for each in (relationship, erased, make_relationship()):
        await save_relationship(store, each)
    await save_session(store, None, relationship.relationship_id)
    await save_session(store, CLINIC)

    assert await store.count_unknown_clinics() == UnknownClinics(on_topic=1, following=1)


async def test_sessions_without_a_clinic_are_filled_in_by_relationship(store: Store) -> None:
    first, second = sorted([uuid4(), uuid4()])
    sessions = [await save_session(store, None, r) for r in (first, first, second)]
    known = await save_session(store, OTHER_CLINIC, first)

    assert await store.list_unknown_clinics(None, 10) == [first, second]
    assert (await store.list_unknown_clinics(None, 1), await store.list_unknown_clinics(first, 1)) == (
        [first],
        [second],
    )
    await store.fill_in_clinics({first: CLINIC})
    await store.fill_in_clinics({first: OTHER_CLINIC})
    await store.fill_in_clinics({})

    filled_in = [await store.sessions.within(None).get(s.session_id) for s in (*sessions, known)]
    assert [s.clinic_id if s else None for s in filled_in] == [CLINIC, CLINIC, None, OTHER_CLINIC]
    assert await store.list_unknown_clinics(None, 10) == [second]


async def test_a_writer_who_has_read_no_clinic_does_not_take_it_away_again(store: Store) -> None:
    session = await save_session(store, None)
    loaded = await store.sessions.within(None).load(session.session_id)
    await store.fill_in_clinics({session.relationship_id: CLINIC})

    await store.sessions.within(None).change(session.session_id, cancel_existing, loaded)

    stored = await store.sessions.within(None).get(session.session_id)
    assert stored is not None
    assert (stored.clinic_id, stored.outcome is not None) == (CLINIC, True)


async def test_a_document_of_an_older_version_lacks_the_fields_and_is_found_by_an_index(mongodb_uri: str) -> None:
    async with open_mongo(mongodb_uri, "motor") as mongo:
        store = MongoStore(mongo, create_idle_outbox(mongo, [SESSIONS], now), now)
        await store.create_indexes()
        relationship, *_ = [await save_relationship(store, make_relationship()) for _ in range(5)]
        session, *_ = [await save_session(store, CLINIC) for _ in range(5)]
        await mongo[SESSIONS].update_one({"_id": session.session_id}, {"$unset": {"clinic_id": ""}})
        fields = {"clinic_id": "", "clinician_id": ""}
        await mongo[RELATIONSHIPS].update_one({"_id": relationship.relationship_id}, {"$unset": fields})

        assert await store.count_unknown_clinics() == UnknownClinics(1, 1)
        assert await store.list_unknown_clinics(None, 10) == [session.relationship_id]
        of_sessions = {"clinic_id": None, "relationship_id": {"$gte": UUID(int=0)}}
        for name, query in ((SESSIONS, of_sessions), (RELATIONSHIPS, {"clinician_id": None, "erased_at": None})):
            plan = await mongo[name].find(query).explain()
            assert "'indexName': 'unknown_clinic'" in str(plan["queryPlanner"]["winningPlan"])
