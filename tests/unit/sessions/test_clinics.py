"""A request is confined to its clinic: what belongs to another one is answered as if it did not exist."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry

from services.sessions.domain.session import Cancelled, OutcomeCorrection, Session
from services.sessions.metrics import SessionsMetrics
from services.sessions.service import SessionsService
from services.sessions.service.clinics import create_backfill
from services.sessions.store.memory import InMemoryStore
from shared.access.clinic_id import ClinicId
from shared.clinics.intake_history import IntakeHistory
from shared.errors import IdTaken, NotFound
from tests.support.builders import RelationshipBuilder
from tests.support.fake_topic import FakeTopic
from tests.support.sessions_builders import (
    CLINIC,
    NOW,
    OTHER_CLINIC,
    STARTS_AT,
    WINDOW,
    completed_session,
    make_answer,
    make_relationship,
    scheduled_session,
)

Request = Callable[[SessionsService, ClinicId | None, UUID], Awaitable[object]]

REQUESTS: dict[str, Request] = {
    "get": lambda service, clinic, i: service.get_session(clinic, i),
    "complete": lambda service, clinic, i: service.complete(clinic, i, NOW, 50),
    "client link": lambda service, clinic, i: service.issue_client_link(clinic, i),
    "missed": lambda service, clinic, i: service.mark_missed(clinic, i),
    "cancel": lambda service, clinic, i: service.cancel(clinic, i, Cancelled(by="client", cancelled_at=STARTS_AT)),
    "correct": lambda service, clinic, i: service.correct_outcome(
        clinic, i, OutcomeCorrection(correction_id=UUID(int=9), outcome=None)
    ),
    "answer": lambda service, clinic, i: service.record_answer(clinic, i, "client", make_answer(), NOW, "system"),
}


def clock() -> datetime:
    return NOW


def create_service(store: InMemoryStore) -> SessionsService:
    metrics = SessionsMetrics(CollectorRegistry())
    return SessionsService(store, metrics, WINDOW, timedelta(0), clock, lambda: "token")


async def store_with(*clinics: ClinicId | None) -> tuple[InMemoryStore, list[Session]]:
    """A store with a completed session in each of these clinics."""
    store, sessions = InMemoryStore(clock), list[Session]()
    for clinic in clinics:
        relationship = make_relationship(clinic_id=clinic)
        await store.update_relationships([relationship.relationship_id], lambda _, known=relationship: known)  # type: ignore[misc]
        session = completed_session(relationship)
        store.sessions.put(session.session_id, session)
        sessions.append(session)
    return store, sessions


async def error_of(request: Awaitable[object]) -> tuple[type[Exception], str, str]:
    with pytest.raises(NotFound) as raised:
        await request
    return type(raised.value), raised.value.code, str(raised.value)


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("clinic", [OTHER_CLINIC, None])
async def test_a_session_of_another_clinic_or_of_an_unknown_one_is_answered_as_if_it_did_not_exist(
    name: str, clinic: ClinicId | None
) -> None:
    store, (session,) = await store_with(clinic)

    foreign = await error_of(REQUESTS[name](create_service(store), CLINIC, session.session_id))
    unknown = await error_of(REQUESTS[name](create_service(InMemoryStore(clock)), CLINIC, session.session_id))

    assert foreign == unknown
    assert await store.sessions.get(session.session_id) == session
    assert store.pending_events == []


async def test_a_relationship_of_another_clinic_is_answered_as_if_it_did_not_exist() -> None:
    store, (foreign, own) = await store_with(OTHER_CLINIC, CLINIC)
    empty = InMemoryStore(clock)

    for session_id in (uuid4(), own.session_id, foreign.session_id):
        answers = [
            await error_of(create_service(each).schedule(CLINIC, session_id, foreign.relationship_id, STARTS_AT, 50))
            for each in (store, empty)
        ]
        assert answers[0] == answers[1]
    assert await store.sessions.get(own.session_id) == own


async def test_an_appointment_under_the_id_of_another_clinic_has_one_fixed_answer() -> None:
    store, (foreign, own, without_clinic) = await store_with(OTHER_CLINIC, CLINIC, None)
    service = create_service(store)

    errors = []
    for taken in (foreign, without_clinic):
        with pytest.raises(IdTaken) as raised:
            await service.schedule(CLINIC, taken.session_id, own.relationship_id, STARTS_AT, 45)
        errors.append(str(raised.value))

    assert errors[0] == errors[1]
    assert [await store.sessions.get(s.session_id) for s in (foreign, without_clinic)] == [foreign, without_clinic]
    assert store.pending_events == []


async def test_the_own_clinic_makes_appointments_and_completes_them() -> None:
    store, (_, own) = await store_with(OTHER_CLINIC, CLINIC)
    service, session_id = create_service(store), uuid4()

    scheduled = await service.schedule(CLINIC, session_id, own.relationship_id, STARTS_AT, 50)
    await service.complete(CLINIC, session_id, STARTS_AT + timedelta(minutes=50), 50)

    assert scheduled.clinic_id == CLINIC
    assert (await service.get_session(CLINIC, session_id)).outcome is not None


@pytest.mark.parametrize("clinic", [OTHER_CLINIC, None])
async def test_a_link_opens_its_form_in_whatever_clinic(clinic: ClinicId | None) -> None:
    """The link is the key, also while the clinic of an old session is not known."""
    store = InMemoryStore(clock)
    relationship = make_relationship(clinic_id=clinic)
    await store.update_relationships([relationship.relationship_id], lambda _: relationship)
    session = scheduled_session(relationship)
    store.sessions.put(session.session_id, session)
    service = create_service(store)
    await service.complete(clinic, session.session_id, STARTS_AT + timedelta(minutes=50), 50)

    form = await service.open_form("token")
    await service.answer_form("token", make_answer())

    assert form.session.session_id == session.session_id
    assert (await service.get_session(None, session.session_id)).feedback["clinician"].answer == make_answer()


async def test_old_relationships_and_their_sessions_get_the_clinic_of_their_start() -> None:
    store, registry = InMemoryStore(clock), CollectorRegistry()
    builder, lost = RelationshipBuilder(), make_relationship(clinic_id=None).model_copy(update={"clinician_id": None})
    started, sessions = builder.started(), list[Session]()
    old = make_relationship(relationship_id=builder.relationship_id).model_copy(
        update={"started_at": started.occurred_at, "case_code": "AB-12", "clinic_id": None, "clinician_id": None}
    )
    for relationship in (old, lost):
        await store.update_relationships([relationship.relationship_id], lambda _, known=relationship: known)  # type: ignore[misc]
        sessions.append(scheduled_session(relationship))
        store.sessions.put(sessions[-1].session_id, sessions[-1])
    backfill = create_backfill(store, SessionsMetrics(registry), IntakeHistory(FakeTopic([started]).open))

    await backfill.run()
    await backfill.run()

    known = await store.find_relationship(ClinicId(started.clinic_id), builder.relationship_id)
    assert known is not None
    assert known.clinician_id == started.clinician_id
    clinics = [session.clinic_id if (session := await store.sessions.get(s.session_id)) else None for s in sessions]
    assert clinics == [started.clinic_id, None]
    assert registry.get_sample_value("attune_sessions_unknown_clinics") == 2
    assert store.pending_events == []
