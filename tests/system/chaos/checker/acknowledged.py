"""The acknowledged history: the events that Attune must have stored, derived from every 2xx response.

Requests are applied in the order of their responses. A request that was acknowledged twice was repeated by its client;
the repetition changes nothing. Attune chooses the ids, and the times of what happens on the server; both are left open.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast, get_args
from uuid import UUID

from pydantic import TypeAdapter

from shared.events import (
    Answer,
    ClinicianRegistered,
    ClinicianUpdated,
    ConsentGiven,
    ConsentWithdrawn,
    Element,
    Event,
    FeedbackAmended,
    FeedbackRequested,
    FeedbackSubmitted,
    Rater,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionScheduled,
    Severity,
    UtcDatetime,
)
from tests.system.chaos.evidence import Fault
from tools.sandbox.network.course import FEEDBACK_WINDOW
from tools.sandbox.network.ledger import AcknowledgedRequest

ANY_ID = UUID(int=0)
"""Placeholder for an id that Attune chooses."""
ONE_MILLISECOND = timedelta(milliseconds=1)
CLOCK_TOLERANCE = timedelta(seconds=5)
"""How much two readings of the clock of one machine, ours and Attune's, may differ."""
ONE_HOUR = timedelta(hours=1)
MAX_NOTICE_HOURS = 24 * 365.0
ELEMENTS: tuple[Element, ...] = get_args(Element)
RATERS: tuple[Rater, ...] = get_args(Rater)

_parse_datetime: Callable[[Any], datetime] = TypeAdapter[datetime](UtcDatetime).validate_python


def max_clock_skew(faults: Iterable[Fault]) -> timedelta:
    """How much the clock of a service may have differed from ours."""
    return ONE_HOUR + CLOCK_TOLERANCE if any("clock" in fault.kind for fault in faults) else CLOCK_TOLERANCE


@dataclass(frozen=True)
class ExpectedEvent:
    """An event that must be stored and that occurred between `earliest` and `latest`."""

    event: Event
    """Its id is `ANY_ID`."""
    earliest: datetime
    latest: datetime


@dataclass
class AcknowledgedRelationship:
    """A relationship according to the acknowledged requests."""

    start_fields: Mapping[str, Any]
    aims_history: list[tuple[datetime, tuple[str, ...]]]
    consent_changes: list[tuple[datetime, bool]] = field(default_factory=list)
    """When consent changed, and whether it was given."""
    has_ended: bool = False

    @property
    def has_withdrawn_consent(self) -> bool:
        return any(not given for _, given in self.consent_changes)

    def has_consent_at(self, moment: datetime) -> bool:
        """Whether the latest change of consent up to `moment` gave it."""
        consents = [given for at, given in self.consent_changes if at <= moment]
        return bool(consents) and consents[-1]


@dataclass
class AcknowledgedSession:
    """A session according to the acknowledged requests."""

    relationship_id: UUID
    starts_at: datetime
    minutes: int
    acknowledged_at: datetime
    """When its appointment was first acknowledged."""
    scheduled_between: tuple[datetime, datetime]
    """The earliest and the latest time at which the current appointment was made."""
    outcome: str = ""
    due_at: datetime | None = None
    completion_acknowledged_at: datetime | None = None
    """When its completion was first acknowledged."""
    requested_raters: set[Rater] = field(default_factory=set)
    answers: dict[Rater, Answer] = field(default_factory=dict)
    answer_acknowledged_at: dict[Rater, datetime] = field(default_factory=dict)
    """When the first answer was acknowledged."""


@dataclass(frozen=True)
class Disposition:
    """A clinician's request to acknowledge or resolve an alert, and the alert's status in the response."""

    alert_id: UUID
    action: str
    status: str
    severity: Severity
    useful: bool | None = None

    @property
    def is_applied(self) -> bool:
        """Whether the alert has the requested status.

        If it has another one, the alert changed again meanwhile, and this request may or may not have had an effect.
        """
        return self.status == self.action


class AcknowledgedHistory:
    """Everything that was acknowledged, as far as the requests were read."""

    def __init__(self, started_at: datetime, clock_skew: timedelta) -> None:
        self.expected_events: list[ExpectedEvent] = []
        self.possible_events: list[ExpectedEvent] = []
        """Events that may exist or not, because that depends on the order in which services received others."""
        self.relationships: dict[UUID, AcknowledgedRelationship] = {}
        self.sessions: dict[UUID, AcknowledgedSession] = {}
        self.dispositions: list[Disposition] = []
        self.case_codes: dict[UUID, str] = {}
        self._clinicians: dict[UUID, tuple[str, str]] = {}
        self._form_links: dict[str, tuple[UUID, Rater]] = {}
        self._earliest = started_at - clock_skew
        self._clock_skew = clock_skew

    def _expect(
        self, event_type: type[Event], *, between: tuple[datetime, datetime] | None = None, **fields: Any
    ) -> None:
        self.expected_events.append(self._expected_event(event_type, between=between, **fields))

    @staticmethod
    def _expected_event(
        event_type: type[Event], *, between: tuple[datetime, datetime] | None = None, **fields: Any
    ) -> ExpectedEvent:
        event = event_type.model_validate(
            {"id": ANY_ID, "occurred_at": between[0] if between else fields["occurred_at"], **fields}
        )
        earliest, latest = between or (event.occurred_at, event.occurred_at)
        return ExpectedEvent(event, earliest, latest)

    # Intake

    def register_clinician(self, clinician: str, request: AcknowledgedRequest) -> None:
        clinician_id, registration = UUID(clinician), (request.body["clinic_id"], request.body["time_zone"])
        if registration != self._clinicians.get(clinician_id):
            event_type = ClinicianUpdated if clinician_id in self._clinicians else ClinicianRegistered
            recorded_between = (self._earliest, request.acknowledged_at + self._clock_skew)
            self._expect(
                event_type,
                between=recorded_between,
                clinician_id=clinician_id,
                clinic_id=registration[0],
                time_zone=registration[1],
            )
            self._clinicians[clinician_id] = registration

    def add_client(self, client: str, request: AcknowledgedRequest) -> None:
        self.case_codes[UUID(client)] = request.body["case_code"]

    def start_relationship(self, relationship: str, request: AcknowledgedRequest) -> None:
        body = request.body
        start_fields = {name: body[name] for name in ("clinic_id", "clinician_id", "client_id", "cadence_days")}
        start_fields["case_code"] = self.case_codes[UUID(body["client_id"])]
        self._start_relationship(
            UUID(relationship), start_fields, _parse_datetime(body["started_at"]), tuple(body["aims"]), body["consent"]
        )

    def _start_relationship(
        self,
        relationship_id: UUID,
        start_fields: Mapping[str, Any],
        started_at: datetime,
        aims: tuple[str, ...],
        consent: bool,
    ) -> None:
        if relationship_id in self.relationships:
            return
        self.relationships[relationship_id] = AcknowledgedRelationship(start_fields, [(started_at, aims)])
        self._expect(
            RelationshipStarted, occurred_at=started_at, relationship_id=relationship_id, aims=aims, **start_fields
        )
        if consent:
            self._change_consent(relationship_id, started_at, given=True)

    def update_aims(self, relationship: str, request: AcknowledgedRequest) -> None:
        relationship_id, agreement = (
            UUID(relationship),
            (_parse_datetime(request.body["agreed_at"]), tuple(request.body["aims"])),
        )
        if agreement not in self.relationships[relationship_id].aims_history:
            self.relationships[relationship_id].aims_history.append(agreement)
            self._expect(
                RelationshipAimsUpdated, occurred_at=agreement[0], relationship_id=relationship_id, aims=agreement[1]
            )

    def change_consent(self, relationship: str, request: AcknowledgedRequest) -> None:
        relationship_id, changed_at, given = (
            UUID(relationship),
            _parse_datetime(request.body["at"]),
            request.body["given"],
        )
        if self.relationships[relationship_id].has_consent_at(changed_at) != given:
            self._change_consent(relationship_id, changed_at, given=given)

    def _change_consent(self, relationship_id: UUID, changed_at: datetime, *, given: bool) -> None:
        self.relationships[relationship_id].consent_changes.append((changed_at, given))
        self._expect(
            ConsentGiven if given else ConsentWithdrawn, occurred_at=changed_at, relationship_id=relationship_id
        )

    def end_relationship(self, relationship: str, request: AcknowledgedRequest) -> None:
        self._end_relationship(
            UUID(relationship), occurred_at=_parse_datetime(request.body["at"]), reason=request.body["reason"]
        )

    def transfer_relationship(self, relationship: str, request: AcknowledgedRequest) -> None:
        old_id, new_id, transferred_at = (
            UUID(relationship),
            UUID(request.body["relationship_id"]),
            _parse_datetime(request.body["at"]),
        )
        self._end_relationship(old_id, occurred_at=transferred_at, reason="transferred", successor_id=new_id)
        predecessor = self.relationships[old_id]
        start_fields = {
            **predecessor.start_fields,
            "clinician_id": request.body["clinician_id"],
            "predecessor_id": old_id,
        }
        consent = bool(predecessor.consent_changes) and predecessor.consent_changes[-1][1]
        self._start_relationship(new_id, start_fields, transferred_at, predecessor.aims_history[-1][1], consent)

    def _end_relationship(self, relationship_id: UUID, **fields: Any) -> None:
        if not self.relationships[relationship_id].has_ended:
            self.relationships[relationship_id].has_ended = True
            self._expect(RelationshipEnded, relationship_id=relationship_id, **fields)

    # Sessions

    def schedule_session(self, session: str, request: AcknowledgedRequest) -> None:
        session_id, body = UUID(session), request.body
        starts_at, minutes, relationship_id = (
            _parse_datetime(body["starts_at"]),
            body["minutes"],
            UUID(body["relationship_id"]),
        )
        previous, latest = self.sessions.get(session_id), request.acknowledged_at + self._clock_skew
        between = (min(self._earliest, starts_at), min(latest, starts_at))
        if previous is None:
            self.sessions[session_id] = AcknowledgedSession(
                relationship_id, starts_at, minutes, request.acknowledged_at, between
            )
        elif (previous.starts_at, previous.minutes) == (starts_at, minutes):
            return
        else:  # published later than the previous appointment, however early the new one is
            between = (
                max(between[0], previous.scheduled_between[0] + ONE_MILLISECOND),
                max(between[1], previous.scheduled_between[1] + ONE_MILLISECOND),
            )
            previous.starts_at, previous.minutes, previous.scheduled_between = starts_at, minutes, between
        self._expect(
            SessionScheduled,
            between=between,
            relationship_id=relationship_id,
            session_id=session_id,
            starts_at=starts_at,
            minutes=minutes,
        )

    def complete_session(self, session: str, request: AcknowledgedRequest) -> None:
        session_id = UUID(session)
        acknowledged_session, ended_at = self.sessions[session_id], _parse_datetime(request.body["ended_at"])
        common_fields: dict[str, Any] = {
            "relationship_id": acknowledged_session.relationship_id,
            "session_id": session_id,
        }
        common_fields["occurred_at"] = ended_at
        forms = {rater: request.response[f"{rater}_form"] for rater in RATERS}
        self._form_links |= {
            form["url"].rsplit("/", 1)[1]: (session_id, rater) for rater, form in forms.items() if form
        }
        acknowledged_session.due_at = ended_at + FEEDBACK_WINDOW
        if not acknowledged_session.outcome:
            acknowledged_session.outcome, acknowledged_session.completion_acknowledged_at = (
                "completed",
                request.acknowledged_at,
            )
            self._expect(
                SessionCompleted,
                minutes=request.body["minutes"],
                planned_minutes=acknowledged_session.minutes,
                **common_fields,
            )
        for rater in RATERS:
            if forms[rater] and rater not in acknowledged_session.requested_raters:
                acknowledged_session.requested_raters.add(rater)
                self._expect(FeedbackRequested, rater=rater, due_at=acknowledged_session.due_at, **common_fields)
            elif rater == "client" and not forms[rater]:
                self.possible_events.append(
                    self._expected_event(
                        FeedbackRequested, rater=rater, due_at=acknowledged_session.due_at, **common_fields
                    )
                )

    def mark_missed(self, session: str, _request: AcknowledgedRequest) -> None:
        session_id, acknowledged_session = UUID(session), self.sessions[UUID(session)]
        if not acknowledged_session.outcome:
            acknowledged_session.outcome = "missed"
            common_fields: dict[str, Any] = {
                "relationship_id": acknowledged_session.relationship_id,
                "session_id": session_id,
            }
            self._expect(SessionMissed, occurred_at=acknowledged_session.starts_at, **common_fields)

    def cancel_session(self, session: str, request: AcknowledgedRequest) -> None:
        session_id, acknowledged_session = UUID(session), self.sessions[UUID(session)]
        if acknowledged_session.outcome:
            return
        acknowledged_session.outcome, cancelled_at = "cancelled", _parse_datetime(request.body["cancelled_at"])
        notice_hours = min(max(0.0, (acknowledged_session.starts_at - cancelled_at) / ONE_HOUR), MAX_NOTICE_HOURS)
        self._expect(
            SessionCancelled,
            occurred_at=cancelled_at,
            relationship_id=acknowledged_session.relationship_id,
            session_id=session_id,
            by=request.body["by"],
            notice_hours=notice_hours,
        )

    # Feedback

    def record_answer(self, session: str, rater: str, request: AcknowledgedRequest) -> None:
        given_at = _parse_datetime(request.body["given_at"])
        fields = {name: value for name, value in request.body.items() if name != "given_at"}
        self._apply_answer(
            UUID(session),
            cast("Rater", rater),
            Answer.model_validate(fields),
            (given_at, given_at),
            request.acknowledged_at,
        )

    def answer_form(self, token: str, request: AcknowledgedRequest) -> None:
        session, rater = self._form_links[token]
        fields = {name: value for name, value in request.body.items() if value != ""}
        ratings = {name: int(fields[name]) for name in ELEMENTS if name in fields}
        questions = {name: fields.get(name) for name in ("tension", "talked_about")}
        ended_at = cast("datetime", self.sessions[session].due_at) - FEEDBACK_WINDOW
        between = (max(self._earliest, ended_at), max(request.acknowledged_at + self._clock_skew, ended_at))
        answer = Answer.model_validate({"ratings": ratings, **questions})
        if rater not in self.sessions[session].answers:  # a link is used once, and corrects nothing
            self._apply_answer(session, rater, answer, between, request.acknowledged_at)

    def _apply_answer(
        self, session: UUID, rater: Rater, answer: Answer, between: tuple[datetime, datetime], acknowledged_at: datetime
    ) -> None:
        acknowledged_session = self.sessions[session]
        previous = acknowledged_session.answers.get(rater)
        if answer == previous:
            return
        acknowledged_session.answers[rater] = answer
        acknowledged_session.answer_acknowledged_at.setdefault(rater, acknowledged_at)
        common_fields = {"relationship_id": acknowledged_session.relationship_id, "session_id": session, "rater": rater}
        if previous is None:
            self._expect(FeedbackSubmitted, between=between, **common_fields, **answer.model_dump())
        else:
            self._expect(FeedbackAmended, between=between, amends=ANY_ID, **common_fields, **answer.model_dump())

    # Alerts

    def acknowledge_alert(self, alert: str, request: AcknowledgedRequest) -> None:
        self._add_disposition("acknowledged", alert, request)

    def resolve_alert(self, alert: str, request: AcknowledgedRequest) -> None:
        self._add_disposition("resolved", alert, request)

    def _add_disposition(self, action: str, alert: str, request: AcknowledgedRequest) -> None:
        alert_view = request.response
        self.dispositions.append(
            Disposition(UUID(alert), action, alert_view["status"], alert_view["severity"], request.body.get("useful"))
        )

    def ignore(self, *_: Any) -> None:
        """Clinics and channels are not published."""


_ID = r"([0-9a-f-]{36})"
REQUEST_HANDLERS: Sequence[tuple[str, str, str, Callable[..., None]]] = (
    ("intake", "PUT", f"/clinics/{_ID}", AcknowledgedHistory.ignore),
    ("intake", "PUT", f"/clinicians/{_ID}", AcknowledgedHistory.register_clinician),
    ("intake", "PUT", f"/clients/{_ID}", AcknowledgedHistory.add_client),
    ("intake", "PUT", f"/relationships/{_ID}", AcknowledgedHistory.start_relationship),
    ("intake", "PUT", f"/relationships/{_ID}/aims", AcknowledgedHistory.update_aims),
    ("intake", "PUT", f"/relationships/{_ID}/consent", AcknowledgedHistory.change_consent),
    ("intake", "POST", f"/relationships/{_ID}/end", AcknowledgedHistory.end_relationship),
    ("intake", "POST", f"/relationships/{_ID}/transfer", AcknowledgedHistory.transfer_relationship),
    ("sessions", "PUT", f"/sessions/{_ID}", AcknowledgedHistory.schedule_session),
    ("sessions", "POST", f"/sessions/{_ID}/completion", AcknowledgedHistory.complete_session),
    ("sessions", "POST", f"/sessions/{_ID}/missed", AcknowledgedHistory.mark_missed),
    ("sessions", "POST", f"/sessions/{_ID}/cancellation", AcknowledgedHistory.cancel_session),
    ("sessions", "PUT", f"/sessions/{_ID}/feedback/(client|clinician)", AcknowledgedHistory.record_answer),
    ("sessions", "POST", r"/f/([\w-]+)", AcknowledgedHistory.answer_form),
    ("notify", "PUT", f"/clinicians/{_ID}/channels", AcknowledgedHistory.ignore),
    ("notify", "POST", f"/alerts/{_ID}/acknowledgement", AcknowledgedHistory.acknowledge_alert),
    ("notify", "POST", f"/alerts/{_ID}/resolution", AcknowledgedHistory.resolve_alert),
)


def read_requests(
    requests: Iterable[AcknowledgedRequest], started_at: datetime, clock_skew: timedelta
) -> AcknowledgedHistory:
    """Apply all requests. Raises ValueError for a request without a handler."""
    history = AcknowledgedHistory(started_at, clock_skew)
    for request in requests:
        if request.method != "GET":
            _apply_request(history, request)
    return history


def _apply_request(history: AcknowledgedHistory, request: AcknowledgedRequest) -> None:
    for service, method, pattern, apply in REQUEST_HANDLERS:
        if (service, method) == (request.service, request.method) and (match := re.fullmatch(pattern, request.path)):
            apply(history, *match.groups(), request)
            return
    raise ValueError(f"the checker has no handler for {request.method} {request.service}{request.path}")
