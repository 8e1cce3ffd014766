"""Feedback about a session: answered, amended, or lapsed without an answer.

As in `session`, the decisions are pure and idempotent, and event ids are derived from the session's id.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Completed, Decision, FeedbackRequest, Session
from shared.errors import NotFound, Rejected
from shared.events import (
    Answer,
    CollectedBy,
    Event,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackSubmitted,
    Rater,
    UtcDatetime,
)
from shared.events.clock_skew import CLOCK_SKEW_TOLERANCE, reject_future

MAX_AMENDMENTS = 10
"""Amendments of one answer. More come from a system that repeats itself."""


@dataclass(frozen=True)
class Submission:
    """An answer, when it was given, and how it came."""

    answer: Answer
    given_at: UtcDatetime
    collected_by: CollectedBy


def record_answer(
    session: Session,
    relationship: Relationship,
    rater: Rater,
    answer: Answer,
    given_at: UtcDatetime,
    now: UtcDatetime,
    response_window: timedelta,
    collected_by: CollectedBy,
) -> Decision:
    """Record an answer that was given elsewhere: the first one or a correction of it, in time or late."""
    completion = require_completed(session)
    require_consent(rater, relationship)
    reject_future("given_at", given_at, now)
    if given_at < completion.ended_at - CLOCK_SKEW_TOLERANCE:
        raise Rejected(
            "before-the-session",
            "given_at is before the session's end; an answer is given after it. Check both times.",
        )
    due_at = completion.ended_at + response_window
    request = session.feedback.get(rater) or FeedbackRequest(due_at=due_at, lapses_at=due_at)
    if request.answer is None:
        return _submit(session, rater, request, Submission(answer, given_at, collected_by), now)
    if _says_the_same(request.answer, answer):
        return session, ()
    if request.given_at is not None and given_at <= request.given_at:
        raise Rejected(
            "older-than-what-is-known",
            f"The {rater} gave another answer at the same time or later; a correction must be given after it.",
        )
    if request.amendments >= MAX_AMENDMENTS:
        raise Rejected(
            "too-many-amendments",
            f"This answer was amended {MAX_AMENDMENTS} times, which is the limit. The last one counts. Check whether a "
            "system sends different answers in turn; if the last one is wrong, tell the clinician.",
        )
    return _amend(session, rater, request, Submission(answer, given_at, collected_by), now)


def open_form(session: Session, relationship: Relationship, link_hash: str, now: UtcDatetime) -> Rater:
    """Return whose form the link opens. Raises NotFound, and Rejected if the form cannot be answered."""
    rater = session.rater_of(link_hash)
    if rater is None:
        raise NotFound("unknown-link", "This link is unknown.")
    require_consent(rater, relationship)
    request = session.feedback[rater]
    if request.answer is not None:
        raise Rejected("link-used", "This form has been answered.")
    if not isinstance(session.outcome, Completed):
        raise Rejected("session-not-held", "The session is not recorded as completed.")
    if request.expires_at is None or now >= request.expires_at:
        raise Rejected("link-expired", "The time for this form is over.")
    return rater


def answer_form(
    session: Session, relationship: Relationship, link_hash: str, answer: Answer, now: UtcDatetime
) -> Decision:
    """Record the answer of a form, once. The same answer sent again, as after a lost connection, is no error."""
    try:
        rater = open_form(session, relationship, link_hash, now)
    except Rejected as error:
        if error.code == "link-used" and _is_same_answer(session, link_hash, answer):
            return session, ()
        raise
    given_at = max(now, require_completed(session).ended_at)  # clocks differ, but no answer precedes the end
    request = session.feedback[rater].model_copy(update={"used_token_hash": link_hash})
    return _submit(session, rater, request, Submission(answer, given_at, "form"), now)


def lapse(session: Session, relationship: Relationship | None, now: UtcDatetime) -> Decision:
    """Lapse the overdue requests. A client without consent is no longer asked, so their request gives no event."""
    after, events = session, list[Event]()
    for rater, request in session.feedback.items():
        if request.status != "awaiting" or request.lapses_at > now:
            continue
        if rater == "client" and relationship is not None and not relationship.consent:
            after = after.with_request(rater, request.model_copy(update={"status": "withdrawn"}))
            continue
        after = after.with_request(rater, request.model_copy(update={"status": "lapsed"}))
        events.append(
            FeedbackLapsed(
                id=session.derive_outcome_id(f"{rater} feedback lapsed"),
                relationship_id=session.relationship_id,
                occurred_at=request.due_at,
                session_id=session.session_id,
                rater=rater,
                correction=len(session.corrections),
            )
        )
    return after, events


def _submit(
    session: Session, rater: Rater, request: FeedbackRequest, submission: Submission, now: UtcDatetime
) -> Decision:
    submitted = FeedbackSubmitted(
        id=_submitted_event_id(session, rater),
        relationship_id=session.relationship_id,
        occurred_at=submission.given_at,
        session_id=session.session_id,
        rater=rater,
        recorded_at=now,
        collected_by=submission.collected_by,
        **submission.answer.model_dump(),
    )
    answered = request.model_copy(update={"status": "answered", **vars(submission)})
    return session.with_request(rater, answered), (submitted,)


def _amend(
    session: Session, rater: Rater, request: FeedbackRequest, submission: Submission, now: UtcDatetime
) -> Decision:
    count = request.amendments + 1
    amended = FeedbackAmended(
        id=session.derive_id(f"{rater} feedback amended {count}"),
        relationship_id=session.relationship_id,
        occurred_at=submission.given_at,
        session_id=session.session_id,
        rater=rater,
        amends=_submitted_event_id(session, rater),
        recorded_at=now,
        collected_by=submission.collected_by,
        **submission.answer.model_dump(),
    )
    corrected = request.model_copy(update={**vars(submission), "amendments": count})
    return session.with_request(rater, corrected), (amended,)


def _submitted_event_id(session: Session, rater: Rater) -> UUID:
    return session.derive_id(f"{rater} feedback submitted")


def _is_same_answer(session: Session, link_hash: str, answer: Answer) -> bool:
    rater = session.rater_of(link_hash)
    known = session.feedback[rater].answer if rater is not None else None
    return known is not None and _says_the_same(known, answer)


def _says_the_same(known: Answer, answer: Answer) -> bool:
    """Whether the answers are equal; one that does not say its language is in that of the other."""
    if known.language and answer.language:
        return known == answer
    return known.model_copy(update={"language": None}) == answer.model_copy(update={"language": None})


def require_completed(session: Session) -> Completed:
    """The completion of the session. Raises Rejected."""
    if isinstance(session.outcome, Completed):
        return session.outcome
    status, path = session.outcome.what if session.outcome else "scheduled", f"/sessions/{session.session_id}"
    remedy = (
        f"correct that first: PUT {path}/corrections/{{an id you choose}}"
        if session.outcome
        else f"send its completion first: POST {path}/completion"
    )
    raise Rejected(
        "session-not-held",
        f"Session {session.session_id} is recorded as {status}; only a completed session can be answered. "
        f"If it was held, {remedy}.",
    )


def require_consent(rater: Rater, relationship: Relationship) -> None:
    """Raises Rejected if a client is asked who has not agreed."""
    if rater == "client" and not relationship.consent:
        raise Rejected("no-consent", "The client has not agreed, or no longer agrees, to be asked about the sessions.")
