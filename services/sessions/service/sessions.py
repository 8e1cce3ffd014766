"""The use cases of sessions: appointments, outcomes and feedback."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from services.sessions.domain import appointment, corrections, feedback
from services.sessions.domain.appointment import RequestOptions
from services.sessions.domain.clinic import Clinic
from services.sessions.domain.links import add_link_if_possible, issue_link
from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Cancelled, Completed, Decision, OutcomeCorrection, Session
from services.sessions.metrics import SessionsMetrics
from services.sessions.service.forms import FormLink, OpenForm, Reader, hash_token
from services.sessions.store.protocol import LAPSE_BATCH_SIZE, Store
from shared.access.clinic_id import ClinicId
from shared.errors import NotFound, Rejected
from shared.events import Answer, CollectedBy, Rater, UtcDatetime
from shared.outbox.documents import Decide, Versioned

log = structlog.get_logger()

MAX_PREDECESSORS = 10
"""Transfers that are followed back."""


@dataclass(frozen=True)
class SessionsService:
    """The use cases of sessions. Each is idempotent and raises NotFound and StoreUnavailable.

    A request is confined to its clinic: what belongs to another one is not found. None means every clinic.
    """

    store: Store
    metrics: SessionsMetrics
    response_window: timedelta
    lapse_grace: timedelta
    clock: Callable[[], datetime]
    """The time, in whole milliseconds."""
    generate_token: Callable[[], str]

    async def get_session(self, clinic: ClinicId | None, session_id: UUID) -> Session:
        return (await self._load(clinic, session_id)).value

    async def schedule(
        self,
        clinic: ClinicId | None,
        session_id: UUID,
        relationship_id: UUID,
        starts_at: UtcDatetime,
        minutes: int,
    ) -> Session:
        """Make an appointment, or move it. Raises Rejected."""
        relationship = await self._require_relationship(clinic, relationship_id)
        loaded, now = await self.store.sessions.within(clinic).load(session_id), self.clock()
        predecessor_ids: Collection[UUID] = ()
        if loaded is None or loaded.value.relationship_id != relationship_id:
            # Parallel requests may exceed the limit by a few, which does no harm.
            count = await self.store.count_sessions(clinic, relationship_id, appointment.MAX_SESSIONS)
            appointment.reject_too_many(count, relationship)
            predecessor_ids = await self._find_predecessors(clinic, relationship) if loaded else ()

        def decide(before: Session | None) -> Decision:
            return appointment.schedule(before, session_id, relationship, starts_at, minutes, now, predecessor_ids)

        after = await self._change(clinic, session_id, decide, loaded)
        await self._erase_if_client_was_erased(relationship_id)
        return after

    async def complete(
        self, clinic: ClinicId | None, session_id: UUID, ended_at: UtcDatetime, minutes: int
    ) -> tuple[Session, FormLink | None]:
        """Record that the session was held. Raises Rejected.

        Also returns a new link to the clinician's form; None if the form is answered, its time is over, or there are
        as many links as there may be.
        """
        loaded, relationship = await self._load_with_relationship(clinic, session_id)
        now, token = self.clock(), self.generate_token()
        options = RequestOptions(self.response_window, self.lapse_grace)
        completion = Completed(ended_at=ended_at, minutes=minutes)

        def decide(before: Session) -> Decision:
            completed, events = appointment.complete(before, relationship, completion, now, options)
            return add_link_if_possible(completed, relationship, "clinician", hash_token(token), now), events

        after = await self._change_existing(clinic, session_id, decide, loaded)
        request = after.feedback["clinician"]
        is_issued = request.token_hash == hash_token(token)
        return after, FormLink(token, request.expires_at or request.due_at) if is_issued else None

    async def issue_client_link(self, clinic: ClinicId | None, session_id: UUID) -> FormLink:
        """Return a new link to the client's form; those before keep working. Raises Rejected."""
        loaded, relationship = await self._load_with_relationship(clinic, session_id)
        token = self.generate_token()
        decide = partial(
            issue_link, relationship=relationship, rater="client", link_hash=hash_token(token), now=self.clock()
        )
        try:
            after = await self._change_existing(clinic, session_id, decide, loaded)
        except Rejected as error:
            log.warning("Client link refused", session=str(session_id), reason=error.code)
            raise
        request = after.feedback["client"]
        log.info("Client link issued", session=str(session_id), links=len(request.all_link_hashes))
        return FormLink(token, request.expires_at or request.due_at)

    async def mark_missed(self, clinic: ClinicId | None, session_id: UUID) -> Session:
        """Record that the client did not come. Raises Rejected."""
        loaded, relationship = await self._load_with_relationship(clinic, session_id)
        return await self._change_existing(
            clinic, session_id, partial(appointment.mark_missed, relationship=relationship, now=self.clock()), loaded
        )

    async def cancel(self, clinic: ClinicId | None, session_id: UUID, cancellation: Cancelled) -> Session:
        """Record that the session was cancelled. Raises Rejected."""
        return await self._change_existing(
            clinic, session_id, partial(appointment.cancel, cancellation=cancellation, now=self.clock())
        )

    async def correct_outcome(
        self, clinic: ClinicId | None, session_id: UUID, correction: OutcomeCorrection
    ) -> Session:
        """Replace an outcome that was recorded by mistake, or take it back. Raises Rejected."""
        loaded, relationship = await self._load_with_relationship(clinic, session_id)
        now, options = self.clock(), RequestOptions(self.response_window, self.lapse_grace)
        decide = partial(
            corrections.correct, relationship=relationship, correction=correction, now=now, options=options
        )
        return await self._change_existing(clinic, session_id, decide, loaded)

    async def record_answer(
        self,
        clinic: ClinicId | None,
        session_id: UUID,
        rater: Rater,
        answer: Answer,
        given_at: UtcDatetime,
        collected_by: CollectedBy,
    ) -> Session:
        """Record an answer or a correction that was given elsewhere. Raises Rejected."""
        loaded, relationship = await self._load_with_relationship(clinic, session_id)
        return await self._change_existing(
            clinic,
            session_id,
            partial(
                feedback.record_answer,
                relationship=relationship,
                rater=rater,
                answer=answer,
                given_at=given_at,
                now=self.clock(),
                response_window=self.response_window,
                collected_by=collected_by,
            ),
            loaded,
        )

    async def open_form(self, token: str) -> OpenForm:
        """Return the form of a link, and change nothing. Raises Rejected."""
        loaded, relationship = await self._load_by_link(token)
        rater = feedback.open_form(loaded.value, relationship, hash_token(token), self.clock())
        return OpenForm(rater, loaded.value, relationship.case_code, await self._find_clinic(relationship))

    async def find_reader(self, token: str) -> Reader:
        """Who has this link, even if it no longer opens a form."""
        loaded = await self.store.find_by_link(hash_token(token))
        if loaded is None:
            return Reader()
        relationship = await self.store.find_relationship(loaded.value.clinic_id, loaded.value.relationship_id)
        return Reader(loaded.value.rater_of(hash_token(token)), await self._find_clinic(relationship))

    async def answer_form(self, token: str, answer: Answer) -> Reader:
        """Record the answer of a form, which uses up its links, and return who gave it. Raises Rejected."""
        loaded, relationship = await self._load_by_link(token)
        reader = Reader(loaded.value.rater_of(hash_token(token)), await self._find_clinic(relationship))
        await self._change_existing(
            loaded.value.clinic_id,
            loaded.value.session_id,
            partial(
                feedback.answer_form,
                relationship=relationship,
                link_hash=hash_token(token),
                answer=answer,
                now=self.clock(),
            ),
            loaded,
        )
        return reader

    async def lapse_overdue_requests(self) -> None:
        """Lapse all overdue requests. Several processes may do so concurrently; each request lapses once."""
        while True:
            now = await self.store.server_time()
            overdue = await self.store.find_overdue(now)
            self.metrics.set_overdue(overdue[0].value.next_lapse_at if overdue else None, now)
            if overdue:
                await self._lapse_requests(overdue, now)
            if len(overdue) < LAPSE_BATCH_SIZE:
                return

    async def _lapse_requests(self, overdue: Sequence[Versioned[Session]], now: datetime) -> None:
        relationships = await self.store.load_relationships({loaded.value.relationship_id for loaded in overdue})

        def decide(before: Session) -> Decision:
            return feedback.lapse(before, relationships.get(before.relationship_id), now)

        events = await self.store.save_decisions(overdue, decide)
        self.metrics.count_events(events)
        if events:  # none if another process was faster
            log.info("Feedback requests lapsed", requests=len(events))

    async def _erase_if_client_was_erased(self, relationship_id: UUID) -> None:
        """Erase what was written for a client who was erased between the check before the write and the write."""
        known = await self.store.load_relationships([relationship_id])  # of an erased client, the clinic is not known
        if relationship_id not in known or known[relationship_id].erased_at is not None:
            await self.store.erase_sessions([relationship_id])

    async def _find_predecessors(self, clinic: ClinicId | None, relationship: Relationship) -> Collection[UUID]:
        """The client's relationships before this one, back over MAX_PREDECESSORS transfers."""
        found: list[UUID] = []
        current: Relationship | None = relationship
        while current is not None and current.predecessor_id is not None and len(found) < MAX_PREDECESSORS:
            found.append(current.predecessor_id)
            current = await self.store.find_relationship(clinic, current.predecessor_id)
        return found

    async def _require_relationship(self, clinic: ClinicId | None, relationship_id: UUID) -> Relationship:
        relationship = await self.store.find_relationship(clinic, relationship_id)
        if relationship is not None and relationship.erased_at is not None:
            raise Rejected("client-erased", f"The client of relationship {relationship_id} was erased.")
        if relationship is None or relationship.started_at is None:
            raise NotFound(
                "unknown-relationship",
                f"Relationship {relationship_id} is not known here. If it was started just now, the event may not have "
                "arrived yet: send the same request again in a few seconds. Otherwise check the id.",
            )
        return relationship

    async def _find_clinic(self, relationship: Relationship | None) -> Clinic | None:
        if relationship is None or relationship.clinic_id is None:
            return None
        return await self.store.find_clinic(relationship.clinic_id)

    async def _load(self, clinic: ClinicId | None, session_id: UUID) -> Versioned[Session]:
        loaded = await self.store.sessions.within(clinic).load(session_id)
        if loaded is None:
            raise _session_not_found(session_id)
        return loaded

    async def _load_with_relationship(
        self, clinic: ClinicId | None, session_id: UUID
    ) -> tuple[Versioned[Session], Relationship]:
        loaded = await self._load(clinic, session_id)
        return loaded, await self._require_relationship(clinic, loaded.value.relationship_id)

    async def _load_by_link(self, token: str) -> tuple[Versioned[Session], Relationship]:
        loaded = await self.store.find_by_link(hash_token(token))
        if loaded is None:
            raise NotFound("unknown-link", "This link is unknown.")
        return loaded, await self._require_relationship(loaded.value.clinic_id, loaded.value.relationship_id)

    async def _change_existing(
        self,
        clinic: ClinicId | None,
        session_id: UUID,
        decide: Callable[[Session], Decision],
        loaded: Versioned[Session] | None = None,
    ) -> Session:
        """Change a session as `decide` says. Raises NotFound if there is none, and Rejected."""

        def decide_if_found(before: Session | None) -> Decision:
            if before is None:
                raise _session_not_found(session_id)
            return decide(before)

        return await self._change(clinic, session_id, decide_if_found, loaded)

    async def _change(
        self,
        clinic: ClinicId | None,
        session_id: UUID,
        decide: Decide[Session],
        loaded: Versioned[Session] | None = None,
    ) -> Session:
        """Create or change a session as `decide` says. Raises Rejected."""
        change = await self.store.sessions.within(clinic).change(session_id, decide, loaded)
        self.metrics.count_events(change.events)
        return change.after


def _session_not_found(session_id: UUID) -> NotFound:
    return NotFound(
        "unknown-session",
        f"Session {session_id} is not known here. Make the appointment first: PUT /sessions/{session_id}.",
    )
