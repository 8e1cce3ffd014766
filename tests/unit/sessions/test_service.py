"""The use cases of sessions and the handling of events, on a store in memory."""

from datetime import datetime, timedelta
from itertools import count
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry

from services.sessions.domain.relationship import Relationship
from services.sessions.handlers import handle_batch
from services.sessions.metrics import SessionsMetrics
from services.sessions.service import SessionsService
from services.sessions.store.memory import InMemoryStore
from services.sessions.store.protocol import LAPSE_BATCH_SIZE
from shared.access.clinic_id import ClinicId
from shared.errors import NotFound, Rejected
from tests.support.builders import RelationshipBuilder
from tests.support.sessions_builders import (
    CLINIC,
    NOW,
    STARTS_AT,
    WINDOW,
    completed_session,
    make_answer,
    make_relationship,
)


class Sessions:
    """The service, with a clock that a test sets forward."""

    def __init__(self, store: type[InMemoryStore] = InMemoryStore) -> None:
        self.now = NOW
        self.registry = CollectorRegistry()
        self.store = store(self.clock)
        tokens = count()
        self.service = SessionsService(
            self.store,
            SessionsMetrics(self.registry),
            WINDOW,
            timedelta(0),
            self.clock,
            lambda: f"token {next(tokens)}",
        )

    def clock(self) -> datetime:
        return self.now

    async def know(self, relationship: Relationship) -> Relationship:
        await self.store.update_relationships([relationship.relationship_id], lambda _: relationship)
        return relationship

    async def complete(self, session_id: UUID, relationship: Relationship) -> dict[str, str]:
        """The tokens of a new link to each form, by rater."""
        await self.service.schedule(None, session_id, relationship.relationship_id, STARTS_AT, 50)
        _, clinician_link = await self.service.complete(None, session_id, STARTS_AT + timedelta(minutes=50), 50)
        client_link = await self.service.issue_client_link(None, session_id)
        assert clinician_link is not None
        return {"client": client_link.token, "clinician": clinician_link.token}

    def feedback_count(self, rater: str, outcome: str) -> float | None:
        return self.registry.get_sample_value("attune_sessions_feedback_total", {"rater": rater, "outcome": outcome})


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


async def test_a_completed_session_has_a_link_for_each_rater_that_works_once(sessions: Sessions) -> None:
    session_id, relationship = uuid4(), await sessions.know(make_relationship())

    tokens = await sessions.complete(session_id, relationship)
    assert {(await sessions.service.open_form(token)).rater for token in tokens.values()} == {"client", "clinician"}

    for _ in range(2):  # as after a lost connection
        await sessions.service.answer_form(tokens["client"], make_answer(8))
    with pytest.raises(Rejected, match="answered"):
        await sessions.service.answer_form(tokens["client"], make_answer(3))

    feedback = (await sessions.service.get_session(None, session_id)).feedback
    assert (feedback["client"].answer, feedback["clinician"].status) == (make_answer(8), "awaiting")
    assert (sessions.feedback_count("client", "answered"), sessions.feedback_count("client", "amended")) == (1, 0)


async def test_new_links_leave_the_old_ones_as_they_are(sessions: Sessions) -> None:
    session_id, relationship = uuid4(), await sessions.know(make_relationship())

    old, new = [await sessions.complete(session_id, relationship) for _ in range(2)]

    for tokens in (old, new):
        assert (await sessions.service.open_form(tokens["client"])).session.session_id == session_id
        assert (await sessions.service.open_form(tokens["clinician"])).rater == "clinician"
    assert sessions.feedback_count("client", "requested") == 1


async def test_what_is_not_known_is_not_found(sessions: Sessions) -> None:
    with pytest.raises(NotFound, match="Relationship"):
        await sessions.service.schedule(None, uuid4(), uuid4(), STARTS_AT, 50)
    with pytest.raises(NotFound, match="Session"):
        await sessions.service.mark_missed(None, uuid4())
    with pytest.raises(NotFound, match="link"):
        await sessions.service.open_form("no token")


async def test_overdue_requests_lapse_once_also_if_there_are_more_than_one_batch(sessions: Sessions) -> None:
    relationship = await sessions.know(make_relationship())
    for _ in range(LAPSE_BATCH_SIZE + 1):
        session = completed_session(relationship)
        sessions.store.sessions.put(session.session_id, session)

    await sessions.service.lapse_overdue_requests()
    assert sessions.store.pending_events == []
    sessions.now = STARTS_AT + timedelta(minutes=50) + WINDOW
    for _ in range(2):
        await sessions.service.lapse_overdue_requests()

    assert len({event.id for event in sessions.store.pending_events}) == 2 * (LAPSE_BATCH_SIZE + 1)
    assert len(sessions.store.pending_events) == 2 * (LAPSE_BATCH_SIZE + 1)
    assert sessions.feedback_count("client", "lapsed") == LAPSE_BATCH_SIZE + 1
    assert sessions.registry.get_sample_value("attune_sessions_overdue_seconds") == 0


async def test_a_client_who_withdrew_consent_is_not_reported_as_silent(sessions: Sessions) -> None:
    session_id, relationship = uuid4(), await sessions.know(make_relationship())
    await sessions.complete(session_id, relationship)
    await sessions.know(relationship.model_copy(update={"consent": False}))

    sessions.now = STARTS_AT + timedelta(minutes=50) + WINDOW
    await sessions.service.lapse_overdue_requests()

    feedback = (await sessions.service.get_session(None, session_id)).feedback
    assert (feedback["client"].status, feedback["clinician"].status) == ("withdrawn", "lapsed")
    assert (sessions.feedback_count("client", "lapsed"), sessions.feedback_count("clinician", "lapsed")) == (0, 1)


async def test_events_about_a_relationship_are_folded_in_any_order_and_repetition(sessions: Sessions) -> None:
    builder = RelationshipBuilder()
    events = [builder.consent_changed(0, given=True), builder.ended(5), builder.started()]

    await handle_batch(events, sessions.store)
    await handle_batch(events[:1], sessions.store)

    stored = sessions.store.relationships[builder.relationship_id]
    assert (stored.started_at, stored.ended_at, stored.consent) == (events[2].occurred_at, builder.at(5), True)


async def test_the_sessions_of_an_erased_client_are_deleted_and_none_is_added(sessions: Sessions) -> None:
    builder = RelationshipBuilder(first_session_at=STARTS_AT)
    await handle_batch([builder.started(), builder.consent_changed(-0.1, given=True)], sessions.store)
    await sessions.complete(uuid4(), sessions.store.relationships[builder.relationship_id])

    await handle_batch([builder.erased(1), builder.started()], sessions.store)

    assert sessions.store.sessions.stored == {}
    with pytest.raises(Rejected, match="erased"):
        await sessions.service.schedule(None, uuid4(), builder.relationship_id, STARTS_AT, 50)


class ErasingStore(InMemoryStore):
    """The client is erased right after the service looked up the relationship."""

    async def find_relationship(self, clinic: ClinicId | None, relationship_id: UUID) -> Relationship | None:
        found = await super().find_relationship(clinic, relationship_id)
        erased = Relationship(relationship_id=relationship_id, erased_at=NOW)
        await self.update_relationships([relationship_id], lambda _: erased)
        return found


async def test_a_session_of_a_client_who_is_erased_meanwhile_does_not_stay() -> None:
    sessions = Sessions(ErasingStore)
    relationship = await sessions.know(make_relationship())

    await sessions.service.schedule(CLINIC, uuid4(), relationship.relationship_id, STARTS_AT, 50)

    assert sessions.store.sessions.stored == {}
