"""What the requests to sessions cause: appointments, their outcomes, and answers."""

from datetime import datetime, timedelta
from typing import Any, cast, get_args
from uuid import UUID

from shared.events import (
    Answer,
    Element,
    FeedbackAmended,
    FeedbackRequested,
    FeedbackSubmitted,
    Rater,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionScheduled,
)
from tests.system.chaos.checker.acknowledged.history import (
    ANY_ID,
    AcknowledgedHistory,
    AcknowledgedSession,
    create_expected_event,
)
from tests.system.chaos.checker.acknowledged.times import parse_datetime
from tests.system.chaos.checker.clocks import ONE_HOUR
from tools.sandbox.network.course import FEEDBACK_WINDOW
from tools.sandbox.network.ledger import AcknowledgedRequest

ONE_MILLISECOND = timedelta(milliseconds=1)
MAX_NOTICE_HOURS = 24 * 365.0
ELEMENTS: tuple[Element, ...] = get_args(Element)
RATERS: tuple[Rater, ...] = get_args(Rater)


def schedule_session(history: AcknowledgedHistory, session: str, request: AcknowledgedRequest) -> None:
    session_id, body = UUID(session), request.body
    starts_at, minutes, relationship_id = (
        parse_datetime(body["starts_at"]),
        body["minutes"],
        UUID(body["relationship_id"]),
    )
    previous, latest = history.sessions.get(session_id), request.acknowledged_at + history.clock_skew
    between = (min(history.earliest, starts_at), min(latest, starts_at))
    if previous is None:
        history.sessions[session_id] = AcknowledgedSession(
            relationship_id, starts_at, minutes, request.acknowledged_at, between
        )
    elif (previous.relationship_id, previous.starts_at, previous.minutes) == (relationship_id, starts_at, minutes):
        return
    else:  # published later than the previous appointment, however early the new one is
        between = (
            max(between[0], previous.scheduled_between[0] + ONE_MILLISECOND),
            max(between[1], previous.scheduled_between[1] + ONE_MILLISECOND),
        )
        previous.relationship_id, previous.scheduled_between = relationship_id, between
        previous.starts_at, previous.minutes = starts_at, minutes
    history.expect(
        SessionScheduled,
        between=between,
        relationship_id=relationship_id,
        session_id=session_id,
        starts_at=starts_at,
        minutes=minutes,
    )


def complete_session(history: AcknowledgedHistory, session: str, request: AcknowledgedRequest) -> None:
    session_id = UUID(session)
    acknowledged_session, ended_at = history.sessions[session_id], parse_datetime(request.body["ended_at"])
    common_fields: dict[str, Any] = {
        "relationship_id": acknowledged_session.relationship_id,
        "session_id": session_id,
    }
    common_fields["occurred_at"] = ended_at
    # An older version, as in the recording of the upgrade test, also returned the client's link.
    forms = {rater: form for rater in RATERS if (form := request.response.get(f"{rater}_form"))}
    asked_raters = request.response.get("feedback", forms)
    history.form_links |= {_token_of(form): (session_id, rater) for rater, form in forms.items()}
    acknowledged_session.due_at = ended_at + FEEDBACK_WINDOW
    if not acknowledged_session.outcome:
        acknowledged_session.outcome, acknowledged_session.completion_acknowledged_at = (
            "completed",
            request.acknowledged_at,
        )
        history.expect(
            SessionCompleted,
            minutes=request.body["minutes"],
            planned_minutes=acknowledged_session.minutes,
            **common_fields,
        )
    for rater in RATERS:
        if rater in asked_raters and rater not in acknowledged_session.requested_raters:
            acknowledged_session.requested_raters.add(rater)
            history.expect(FeedbackRequested, rater=rater, due_at=acknowledged_session.due_at, **common_fields)
        elif rater == "client" and rater not in asked_raters:
            history.possible_events.append(
                create_expected_event(
                    FeedbackRequested, rater=rater, due_at=acknowledged_session.due_at, **common_fields
                )
            )


def issue_client_link(history: AcknowledgedHistory, session: str, request: AcknowledgedRequest) -> None:
    history.form_links[_token_of(request.response)] = UUID(session), "client"


def mark_missed(history: AcknowledgedHistory, session: str, _request: AcknowledgedRequest) -> None:
    session_id, acknowledged_session = UUID(session), history.sessions[UUID(session)]
    if not acknowledged_session.outcome:
        acknowledged_session.outcome = "missed"
        common_fields: dict[str, Any] = {
            "relationship_id": acknowledged_session.relationship_id,
            "session_id": session_id,
        }
        history.expect(SessionMissed, occurred_at=acknowledged_session.starts_at, **common_fields)


def cancel_session(history: AcknowledgedHistory, session: str, request: AcknowledgedRequest) -> None:
    session_id, acknowledged_session = UUID(session), history.sessions[UUID(session)]
    if acknowledged_session.outcome:
        return
    acknowledged_session.outcome, cancelled_at = "cancelled", parse_datetime(request.body["cancelled_at"])
    notice_hours = min(max(0.0, (acknowledged_session.starts_at - cancelled_at) / ONE_HOUR), MAX_NOTICE_HOURS)
    history.expect(
        SessionCancelled,
        occurred_at=cancelled_at,
        relationship_id=acknowledged_session.relationship_id,
        session_id=session_id,
        by=request.body["by"],
        notice_hours=notice_hours,
    )


def record_answer(history: AcknowledgedHistory, session: str, rater: str, request: AcknowledgedRequest) -> None:
    given_at = parse_datetime(request.body["given_at"])
    fields = {name: value for name, value in request.body.items() if name not in ("given_at", "collected_by")}
    _apply_answer(
        history,
        UUID(session),
        cast("Rater", rater),
        Answer.model_validate(fields),
        (given_at, given_at),
        request.acknowledged_at,
    )


def answer_form(history: AcknowledgedHistory, token: str, request: AcknowledgedRequest) -> None:
    session, rater = history.form_links[token]
    fields = {name: value for name, value in request.body.items() if value != ""}
    ratings = {name: int(fields[name]) for name in ELEMENTS if name in fields}
    questions = {name: fields.get(name) for name in ("tension", "talked_about")}
    ended_at = cast("datetime", history.sessions[session].due_at) - FEEDBACK_WINDOW
    between = (max(history.earliest, ended_at), max(request.acknowledged_at + history.clock_skew, ended_at))
    answer = Answer.model_validate({"ratings": ratings, **questions})
    if rater not in history.sessions[session].answers:  # a link is used once, and corrects nothing
        _apply_answer(history, session, rater, answer, between, request.acknowledged_at)


def _token_of(link: dict[str, Any]) -> str:
    return str(link["url"].rsplit("/", 1)[1])


def _apply_answer(
    history: AcknowledgedHistory,
    session: UUID,
    rater: Rater,
    answer: Answer,
    between: tuple[datetime, datetime],
    acknowledged_at: datetime,
) -> None:
    acknowledged_session = history.sessions[session]
    previous = acknowledged_session.answers.get(rater)
    if answer == previous:
        return
    acknowledged_session.answers[rater] = answer
    acknowledged_session.answer_acknowledged_at.setdefault(rater, acknowledged_at)
    common_fields = {"relationship_id": acknowledged_session.relationship_id, "session_id": session, "rater": rater}
    if previous is None:
        history.expect(FeedbackSubmitted, between=between, **common_fields, **answer.model_dump())
    else:
        history.expect(FeedbackAmended, between=between, amends=ANY_ID, **common_fields, **answer.model_dump())
