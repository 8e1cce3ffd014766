"""Collecting: what became of each session, and how it felt to the two."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from services.sessions.domain import feedback, session
from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Asking, Cancelled, Completed, Decided, Session
from services.sessions.metrics import SessionMetrics
from services.sessions.store.mongo import AT_ONCE, Store
from shared.errors import Refused, Unknown
from shared.events import Answer, Event, Moment, Rater

log = structlog.get_logger()

RATERS: tuple[Rater, ...] = ("client", "clinician")


@dataclass(frozen=True)
class Link:
    """A way to the form, for one of the two, that works until it is used or expires."""

    token: str
    expires_at: Moment


@dataclass(frozen=True)
class OpenForm:
    """A form that may be answered: whose it is, and about which session."""

    rater: Rater
    session: Session
    case_code: str | None


@dataclass(frozen=True)
class Desk:
    """Everything that can be done about a session. All of it is safe to repeat."""

    store: Store
    metrics: SessionMetrics
    window: timedelta
    grace: timedelta
    clock: Callable[[], datetime]
    """To the millisecond."""
    draw_token: Callable[[], str]

    async def find(self, session_id: UUID) -> Session:
        """The session. Raises Unknown and StoreUnavailable, as everything here does."""
        found = await self.store.sessions.get(session_id)
        if found is None:
            raise _unknown_session(session_id)
        return found

    async def schedule(self, session_id: UUID, relationship_id: UUID, starts_at: Moment, minutes: int) -> Session:
        """Make the appointment, or move it. Raises Refused."""
        relationship = await self._relationship(relationship_id)
        now = self.clock()

        def decide(before: Session | None) -> Decided:
            return session.schedule(before, session_id, relationship, starts_at, minutes, now)

        after = await self._change(session_id, decide)
        # The client may have been erased between our first look and the write.
        if (
            current_relationship := await self.store.relationship(relationship_id)
        ) is None or current_relationship.erased_at is not None:
            await self.store.forget([relationship_id])
        return after

    async def complete(self, session_id: UUID, ended_at: Moment, minutes: int) -> dict[Rater, Link]:
        """Note that the session was held; the links to the forms, new ones each time. Raises Refused."""
        relationship = await self._relationship_of(session_id)
        now, tokens = self.clock(), {rater: self.draw_token() for rater in RATERS}
        options = Asking({rater: hash_of(token) for rater, token in tokens.items()}, self.window, self.grace)
        completion = Completed(ended_at=ended_at, minutes=minutes)
        after = await self._change_known(
            session_id, partial(session.complete, relationship=relationship, held=completion, now=now, asking=options)
        )
        return {
            rater: Link(tokens[rater], request.expires_at)
            for rater, request in after.feedback.items()
            if request.token_hash == options.link_hashes[rater] and request.expires_at is not None
        }

    async def miss(self, session_id: UUID) -> Session:
        """Note that the client did not come. Raises Refused."""
        relationship = await self._relationship_of(session_id)
        return await self._change_known(session_id, partial(session.miss, relationship=relationship, now=self.clock()))

    async def cancel(self, session_id: UUID, how: Cancelled) -> Session:
        """Note that the session was called off. Raises Refused."""
        return await self._change_known(session_id, partial(session.cancel, how=how, now=self.clock()))

    async def take(self, session_id: UUID, rater: Rater, answer: Answer, given_at: Moment) -> Session:
        """Take an answer, or a correction, from a clinic system. Raises Refused."""
        relationship = await self._relationship_of(session_id)
        return await self._change_known(
            session_id,
            partial(
                feedback.take,
                relationship=relationship,
                rater=rater,
                answer=answer,
                given_at=given_at,
                now=self.clock(),
                window=self.window,
            ),
        )

    async def open_form(self, token: str) -> OpenForm:
        """The form behind a link; nothing is changed by looking. Raises Refused."""
        form_session, relationship = await self._behind_link(token)
        rater = feedback.open_link(form_session, relationship, hash_of(token), self.clock())
        return OpenForm(rater, form_session, relationship.case_code)

    async def answer_form(self, token: str, answer: Answer) -> None:
        """Take the answer given on a form, which uses up its link. Raises Refused."""
        form_session, relationship = await self._behind_link(token)
        await self._change_known(
            form_session.session_id,
            partial(
                feedback.answer_link,
                relationship=relationship,
                link_hash=hash_of(token),
                answer=answer,
                now=self.clock(),
            ),
        )

    async def lapse_due(self) -> None:
        """Let go of all that nobody answered in time. Several of us may do so at once: each is told once."""
        while True:
            now = await self.store.time()
            due = await self.store.due(now)
            self.metrics.oldest_due(due[0]["next_lapse_at"] if due else None, now)
            if not due:
                return
            relationships = await self.store.relationships({document["relationship_id"] for document in due})

            def decide(
                before: Session, now: datetime = now, known: dict[UUID, Relationship] = relationships
            ) -> Decided:
                return feedback.lapse(before, known.get(before.relationship_id), now)

            events = await self.store.settle(due, decide)
            self.metrics.happened(events)
            if events:  # none when another process took them first
                log.info("feedback lapsed", requests=len(events))
            if len(due) < AT_ONCE:
                return

    async def _relationship(self, relationship_id: UUID) -> Relationship:
        relationship = await self.store.relationship(relationship_id)
        if relationship is not None and relationship.erased_at is not None:
            raise Refused("client-erased", f"The client of relationship {relationship_id} was erased.")
        if relationship is None or relationship.started_at is None:
            raise Unknown(
                "unknown-relationship",
                f"Relationship {relationship_id} is not known here. If it was started just now, the news may still be "
                "on its way: send the same request again in a few seconds. Otherwise check the id.",
            )
        return relationship

    async def _relationship_of(self, session_id: UUID) -> Relationship:
        return await self._relationship((await self.find(session_id)).relationship_id)

    async def _behind_link(self, token: str) -> tuple[Session, Relationship]:
        form_session = await self.store.behind_link(hash_of(token))
        if form_session is None:
            raise Unknown("unknown-link", "This link is not one of ours, or was replaced by a newer one.")
        return form_session, await self._relationship(form_session.relationship_id)

    async def _change_known(self, session_id: UUID, decide: Callable[[Session], Decided]) -> Session:
        def decide_on_known(before: Session | None) -> Decided:
            if before is None:
                raise _unknown_session(session_id)
            return decide(before)

        return await self._change(session_id, decide_on_known)

    async def _change(self, session_id: UUID, decide: Callable[[Session | None], Decided]) -> Session:
        new_events: list[Event] = []

        def decide_and_note(before: Session | None) -> Decided:
            after, events = decide(before)
            new_events[:] = events
            return after, events

        after = await self.store.sessions.change(session_id, decide_and_note)
        self.metrics.happened(new_events)
        return after


def hash_of(token: str) -> str:
    """What is kept of a token: enough to know it again, not enough to use it."""
    return hashlib.sha256(token.encode()).hexdigest()


def _unknown_session(session_id: UUID) -> Unknown:
    return Unknown(
        "unknown-session",
        f"Session {session_id} is not known here. Make the appointment first: PUT /sessions/{session_id}.",
    )
