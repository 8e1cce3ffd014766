"""How the session felt: said, corrected, or not said in time.

The same laws as for the session itself: pure, safe to repeat, ids that follow from the session's own.
"""

from datetime import timedelta
from uuid import UUID

from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Completed, Decided, FeedbackRequest, Session
from shared.errors import Refused, Unknown
from shared.events import Answer, Event, FeedbackAmended, FeedbackLapsed, FeedbackSubmitted, Moment, Rater
from shared.events.clock_skew import CLOCKS_APART, refuse_the_future


def take(
    session: Session,
    relationship: Relationship,
    rater: Rater,
    answer: Answer,
    given_at: Moment,
    now: Moment,
    window: timedelta,
) -> Decided:
    """Take an answer that a clinic system sends: the first, or a correction of it; in time or late."""
    completion = _held(session)
    _refuse_without_consent(rater, relationship)
    refuse_the_future("given_at", given_at, now)
    if given_at < completion.ended_at - CLOCKS_APART:
        raise Refused(
            "before-the-session",
            f"given_at lies before the session's end, {completion.ended_at.isoformat()}; nobody can have known then.",
        )
    due_at = completion.ended_at + window
    request = session.feedback.get(rater) or FeedbackRequest(due_at=due_at, lapses_at=due_at)
    if request.answer is None:
        return _submit(session, rater, request, answer, given_at, now)
    if request.answer == answer:
        return session, ()
    if request.given_at is not None and given_at <= request.given_at:
        raise Refused(
            "older-than-what-is-known",
            f"The {rater} gave another answer at {request.given_at.isoformat()}; a correction must be given later.",
        )
    return _amend(session, rater, request, answer, given_at, now)


def open_link(session: Session, relationship: Relationship, link_hash: str, now: Moment) -> Rater:
    """Whose form the link opens. Raises Unknown, and Refused when there is nothing (any more) to answer."""
    rater = session.rater_of(link_hash)
    if rater is None:
        raise Unknown("unknown-link", "This link is not one of ours, or was replaced by a newer one.")
    _refuse_without_consent(rater, relationship)
    request = session.feedback[rater]
    if request.answer is not None:
        raise Refused("link-used", "This form has been answered.")
    if request.expires_at is None or now >= request.expires_at:
        raise Refused("link-expired", "The time for this form is over.")
    return rater


def answer_link(session: Session, relationship: Relationship, link_hash: str, answer: Answer, now: Moment) -> Decided:
    """Take an answer from a form, once; the very same answer again is a bad connection and no error."""
    try:
        rater = open_link(session, relationship, link_hash, now)
    except Refused as error:
        if error.kind == "link-used" and _said_so(session, link_hash, answer):
            return session, ()
        raise
    given_at = max(now, _held(session).ended_at)  # not before the session's end, whatever the clocks say
    request = session.feedback[rater].model_copy(update={"answered_with": link_hash})
    return _submit(session, rater, request, answer, given_at, now)


def lapse(session: Session, relationship: Relationship | None, now: Moment) -> Decided:
    """Let go of what nobody answered in time; the silence of a client who does not want to be asked is not told."""
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
                id=session.told(f"{rater} feedback lapsed"),
                relationship_id=session.relationship_id,
                occurred_at=request.due_at,
                session_id=session.session_id,
                rater=rater,
            )
        )
    return after, events


def _submit(
    session: Session, rater: Rater, request: FeedbackRequest, answer: Answer, given_at: Moment, now: Moment
) -> Decided:
    submitted = FeedbackSubmitted(
        id=_submitted(session, rater),
        relationship_id=session.relationship_id,
        occurred_at=given_at,
        session_id=session.session_id,
        rater=rater,
        recorded_at=now,
        **answer.model_dump(),
    )
    answered = request.model_copy(update={"status": "answered", "answer": answer, "given_at": given_at})
    return session.with_request(rater, answered), (submitted,)


def _amend(
    session: Session, rater: Rater, request: FeedbackRequest, answer: Answer, given_at: Moment, now: Moment
) -> Decided:
    count = request.amendments + 1
    amended = FeedbackAmended(
        id=session.told(f"{rater} feedback amended {count}"),
        relationship_id=session.relationship_id,
        occurred_at=given_at,
        session_id=session.session_id,
        rater=rater,
        amends=_submitted(session, rater),
        recorded_at=now,
        **answer.model_dump(),
    )
    corrected = request.model_copy(update={"answer": answer, "given_at": given_at, "amendments": count})
    return session.with_request(rater, corrected), (amended,)


def _submitted(session: Session, rater: Rater) -> UUID:
    return session.told(f"{rater} feedback submitted")


def _said_so(session: Session, link_hash: str, answer: Answer) -> bool:
    rater = session.rater_of(link_hash)
    return rater is not None and session.feedback[rater].answer == answer


def _held(session: Session) -> Completed:
    if isinstance(session.outcome, Completed):
        return session.outcome
    status = session.outcome.what if session.outcome else "planned, as far as is known here"
    raise Refused(
        "session-not-held",
        f"Session {session.session_id} is {status}; only a session that was held can be answered. "
        "If it was held, send its completion first.",
    )


def _refuse_without_consent(rater: Rater, relationship: Relationship) -> None:
    if rater == "client" and not relationship.consent:
        raise Refused("no-consent", "The client has not agreed, or no longer agrees, to be asked about the sessions.")
