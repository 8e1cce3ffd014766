"""What clients were told, read plainly: from every 2xx, the facts that Attune has to keep.

Requests are read in the order in which they were answered. A request that was answered twice was one that a client
sent again; it says the same, and so does nothing. Ids and the times of what happens at the server are Attune's to
choose: they are left open here.
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
    Moment,
    Rater,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionScheduled,
    Severity,
)
from tests.system.chaos.evidence import Fault
from tools.sandbox.network.course import WINDOW
from tools.sandbox.network.ledger import Taken

OPEN = UUID(int=0)
"""An id that is Attune's to choose."""
A_MOMENT = timedelta(milliseconds=1)
A_LITTLE = timedelta(seconds=5)
"""How far apart our look at the clock and Attune's may be, on one machine."""
AN_HOUR = timedelta(hours=1)
LONGEST_NOTICE = 24 * 365.0
ELEMENTS: tuple[Element, ...] = get_args(Element)
RATERS: tuple[Rater, ...] = get_args(Rater)

_moment: Callable[[Any], datetime] = TypeAdapter[datetime](Moment).validate_python


def clocks_apart(faults: Iterable[Fault]) -> timedelta:
    """How far the clock of a service may have been from ours."""
    return AN_HOUR + A_LITTLE if any("clock" in fault.kind for fault in faults) else A_LITTLE


@dataclass(frozen=True)
class Told:
    """A fact to be kept, which occurred between `earliest` and `latest`."""

    fact: Event
    """Under the id OPEN."""
    earliest: datetime
    latest: datetime


@dataclass
class Bond:
    """A relationship as clients spoke of it."""

    start: Mapping[str, Any]
    agreements: list[tuple[datetime, tuple[str, ...]]]
    words: list[tuple[datetime, bool]] = field(default_factory=list)
    """Whether the client agrees to be asked, from when on."""
    over: bool = False

    @property
    def withdrew(self) -> bool:
        return any(not given for _, given in self.words)

    def agrees_at(self, moment: datetime) -> bool:
        """By the last word until then."""
        consents = [given for at, given in self.words if at <= moment]
        return bool(consents) and consents[-1]


@dataclass
class Sitting:
    """A session as clients spoke of it."""

    relationship_id: UUID
    starts_at: datetime
    minutes: int
    entered: datetime
    """When its appointment was first acknowledged."""
    scheduled: tuple[datetime, datetime]
    """Between which moments the appointment was made that counts."""
    outcome: str = ""
    due_at: datetime | None = None
    completed: datetime | None = None
    """When its completion was first acknowledged."""
    asked: set[Rater] = field(default_factory=set)
    answers: dict[Rater, Answer] = field(default_factory=dict)
    answered: dict[Rater, datetime] = field(default_factory=dict)
    """When the first answer was acknowledged."""


@dataclass(frozen=True)
class Act:
    """What a clinician asked to do about an alert, and how it stood then."""

    alert_id: UUID
    what: str
    status: str
    severity: Severity
    useful: bool | None = None

    @property
    def done(self) -> bool:
        """Whether it was done, now or at a try before; else it was if at all, and more has happened since."""
        return self.status == self.what


class Reading:
    """All that clients were told, as far as it was read."""

    def __init__(self, since: datetime, apart: timedelta) -> None:
        self.told: list[Told] = []
        self.perhaps: list[Told] = []
        """What may be there or not: it depends on whose news came first."""
        self.bonds: dict[UUID, Bond] = {}
        self.sittings: dict[UUID, Sitting] = {}
        self.acts: list[Act] = []
        self.case_codes: dict[UUID, str] = {}
        self._clinicians: dict[UUID, tuple[str, str]] = {}
        self._links: dict[str, tuple[UUID, Rater]] = {}
        self._begun = since - apart
        self._apart = apart

    def _keep(self, kind: type[Event], *, between: tuple[datetime, datetime] | None = None, **said: Any) -> None:
        self.told.append(self._fact(kind, between=between, **said))

    @staticmethod
    def _fact(kind: type[Event], *, between: tuple[datetime, datetime] | None = None, **said: Any) -> Told:
        event = kind.model_validate({"id": OPEN, "occurred_at": between[0] if between else said["occurred_at"], **said})
        earliest, latest = between or (event.occurred_at, event.occurred_at)
        return Told(event, earliest, latest)

    # Intake

    def registered(self, clinician: str, taken: Taken) -> None:
        clinician_id, registration = UUID(clinician), (taken.body["clinic_id"], taken.body["time_zone"])
        if registration != self._clinicians.get(clinician_id):
            event_type = ClinicianUpdated if clinician_id in self._clinicians else ClinicianRegistered
            recorded_between = (self._begun, taken.at + self._apart)
            self._keep(
                event_type,
                between=recorded_between,
                clinician_id=clinician_id,
                clinic_id=registration[0],
                time_zone=registration[1],
            )
            self._clinicians[clinician_id] = registration

    def admitted(self, client: str, taken: Taken) -> None:
        self.case_codes[UUID(client)] = taken.body["case_code"]

    def began(self, relationship: str, taken: Taken) -> None:
        body = taken.body
        start_fields = {name: body[name] for name in ("clinic_id", "clinician_id", "client_id", "cadence_days")}
        start_fields["case_code"] = self.case_codes[UUID(body["client_id"])]
        self._begin(UUID(relationship), start_fields, _moment(body["started_at"]), tuple(body["aims"]), body["consent"])

    def _begin(
        self, relationship_id: UUID, start: Mapping[str, Any], at: datetime, aims: tuple[str, ...], consent: bool
    ) -> None:
        if relationship_id in self.bonds:
            return
        self.bonds[relationship_id] = Bond(start, [(at, aims)])
        self._keep(RelationshipStarted, occurred_at=at, relationship_id=relationship_id, aims=aims, **start)
        if consent:
            self._word(relationship_id, at, given=True)

    def agreed(self, relationship: str, taken: Taken) -> None:
        relationship_id, agreement = UUID(relationship), (_moment(taken.body["agreed_at"]), tuple(taken.body["aims"]))
        if agreement not in self.bonds[relationship_id].agreements:
            self.bonds[relationship_id].agreements.append(agreement)
            self._keep(
                RelationshipAimsUpdated, occurred_at=agreement[0], relationship_id=relationship_id, aims=agreement[1]
            )

    def heard_client(self, relationship: str, taken: Taken) -> None:
        relationship_id, changed_at, given = UUID(relationship), _moment(taken.body["at"]), taken.body["given"]
        if self.bonds[relationship_id].agrees_at(changed_at) != given:
            self._word(relationship_id, changed_at, given=given)

    def _word(self, relationship_id: UUID, at: datetime, *, given: bool) -> None:
        self.bonds[relationship_id].words.append((at, given))
        self._keep(ConsentGiven if given else ConsentWithdrawn, occurred_at=at, relationship_id=relationship_id)

    def ended(self, relationship: str, taken: Taken) -> None:
        self._end(UUID(relationship), occurred_at=_moment(taken.body["at"]), reason=taken.body["reason"])

    def transferred(self, relationship: str, taken: Taken) -> None:
        old_id, new_id, transferred_at = (
            UUID(relationship),
            UUID(taken.body["relationship_id"]),
            _moment(taken.body["at"]),
        )
        self._end(old_id, occurred_at=transferred_at, reason="transferred", successor_id=new_id)
        predecessor = self.bonds[old_id]
        start_fields = {**predecessor.start, "clinician_id": taken.body["clinician_id"], "predecessor_id": old_id}
        consent = bool(predecessor.words) and predecessor.words[-1][1]
        self._begin(new_id, start_fields, transferred_at, predecessor.agreements[-1][1], consent)

    def _end(self, relationship_id: UUID, **how: Any) -> None:
        if not self.bonds[relationship_id].over:
            self.bonds[relationship_id].over = True
            self._keep(RelationshipEnded, relationship_id=relationship_id, **how)

    # Sessions

    def scheduled(self, session: str, taken: Taken) -> None:
        session_id, body = UUID(session), taken.body
        starts_at, minutes, relationship_id = _moment(body["starts_at"]), body["minutes"], UUID(body["relationship_id"])
        previous, latest = self.sittings.get(session_id), taken.at + self._apart
        between = (min(self._begun, starts_at), min(latest, starts_at))
        if previous is None:
            self.sittings[session_id] = Sitting(relationship_id, starts_at, minutes, taken.at, between)
        elif (previous.starts_at, previous.minutes) == (starts_at, minutes):
            return
        else:  # told later than the appointment before, however early the new one lies
            between = (
                max(between[0], previous.scheduled[0] + A_MOMENT),
                max(between[1], previous.scheduled[1] + A_MOMENT),
            )
            previous.starts_at, previous.minutes, previous.scheduled = starts_at, minutes, between
        self._keep(
            SessionScheduled,
            between=between,
            relationship_id=relationship_id,
            session_id=session_id,
            starts_at=starts_at,
            minutes=minutes,
        )

    def completed(self, session: str, taken: Taken) -> None:
        session_id = UUID(session)
        acknowledged_session, ended_at = self.sittings[session_id], _moment(taken.body["ended_at"])
        common_fields: dict[str, Any] = {
            "relationship_id": acknowledged_session.relationship_id,
            "session_id": session_id,
        }
        common_fields["occurred_at"] = ended_at
        forms = {rater: taken.answer[f"{rater}_form"] for rater in RATERS}
        self._links |= {form["url"].rsplit("/", 1)[1]: (session_id, rater) for rater, form in forms.items() if form}
        acknowledged_session.due_at = ended_at + WINDOW
        if not acknowledged_session.outcome:
            acknowledged_session.outcome, acknowledged_session.completed = "completed", taken.at
            self._keep(
                SessionCompleted,
                minutes=taken.body["minutes"],
                planned_minutes=acknowledged_session.minutes,
                **common_fields,
            )
        for rater in RATERS:
            if forms[rater] and rater not in acknowledged_session.asked:
                acknowledged_session.asked.add(rater)
                self._keep(FeedbackRequested, rater=rater, due_at=acknowledged_session.due_at, **common_fields)
            elif rater == "client" and not forms[rater]:
                self.perhaps.append(
                    self._fact(FeedbackRequested, rater=rater, due_at=acknowledged_session.due_at, **common_fields)
                )

    def missed(self, session: str, _request: Taken) -> None:
        session_id, acknowledged_session = UUID(session), self.sittings[UUID(session)]
        if not acknowledged_session.outcome:
            acknowledged_session.outcome = "missed"
            common_fields: dict[str, Any] = {
                "relationship_id": acknowledged_session.relationship_id,
                "session_id": session_id,
            }
            self._keep(SessionMissed, occurred_at=acknowledged_session.starts_at, **common_fields)

    def cancelled(self, session: str, taken: Taken) -> None:
        session_id, acknowledged_session = UUID(session), self.sittings[UUID(session)]
        if acknowledged_session.outcome:
            return
        acknowledged_session.outcome, cancelled_at = "cancelled", _moment(taken.body["cancelled_at"])
        notice_hours = min(max(0.0, (acknowledged_session.starts_at - cancelled_at) / AN_HOUR), LONGEST_NOTICE)
        self._keep(
            SessionCancelled,
            occurred_at=cancelled_at,
            relationship_id=acknowledged_session.relationship_id,
            session_id=session_id,
            by=taken.body["by"],
            notice_hours=notice_hours,
        )

    # Feedback

    def entered(self, session: str, rater: str, taken: Taken) -> None:
        given_at = _moment(taken.body["given_at"])
        fields = {name: value for name, value in taken.body.items() if name != "given_at"}
        self._answered(
            UUID(session), cast("Rater", rater), Answer.model_validate(fields), (given_at, given_at), taken.at
        )

    def filled_in(self, token: str, taken: Taken) -> None:
        session, rater = self._links[token]
        fields = {name: value for name, value in taken.body.items() if value != ""}
        ratings = {name: int(fields[name]) for name in ELEMENTS if name in fields}
        questions = {name: fields.get(name) for name in ("tension", "talked_about")}
        ended_at = cast("datetime", self.sittings[session].due_at) - WINDOW
        between = (max(self._begun, ended_at), max(taken.at + self._apart, ended_at))
        answer = Answer.model_validate({"ratings": ratings, **questions})
        if rater not in self.sittings[session].answers:  # a link is used once, and corrects nothing
            self._answered(session, rater, answer, between, taken.at)

    def _answered(
        self, session: UUID, rater: Rater, answer: Answer, between: tuple[datetime, datetime], acknowledged_at: datetime
    ) -> None:
        acknowledged_session = self.sittings[session]
        previous = acknowledged_session.answers.get(rater)
        if answer == previous:
            return
        acknowledged_session.answers[rater] = answer
        acknowledged_session.answered.setdefault(rater, acknowledged_at)
        common_fields = {"relationship_id": acknowledged_session.relationship_id, "session_id": session, "rater": rater}
        if previous is None:
            self._keep(FeedbackSubmitted, between=between, **common_fields, **answer.model_dump())
        else:
            self._keep(FeedbackAmended, between=between, amends=OPEN, **common_fields, **answer.model_dump())

    # Alerts

    def acknowledged(self, alert: str, taken: Taken) -> None:
        self._act("acknowledged", alert, taken)

    def resolved(self, alert: str, taken: Taken) -> None:
        self._act("resolved", alert, taken)

    def _act(self, what: str, alert: str, taken: Taken) -> None:
        alert_view = taken.answer
        self.acts.append(Act(UUID(alert), what, alert_view["status"], alert_view["severity"], taken.body.get("useful")))

    def nothing(self, *_: Any) -> None:
        """What is said of clinics and channels lies on no topic."""


_ID = r"([0-9a-f-]{36})"
REQUESTS: Sequence[tuple[str, str, str, Callable[..., None]]] = (
    ("intake", "PUT", f"/clinics/{_ID}", Reading.nothing),
    ("intake", "PUT", f"/clinicians/{_ID}", Reading.registered),
    ("intake", "PUT", f"/clients/{_ID}", Reading.admitted),
    ("intake", "PUT", f"/relationships/{_ID}", Reading.began),
    ("intake", "PUT", f"/relationships/{_ID}/aims", Reading.agreed),
    ("intake", "PUT", f"/relationships/{_ID}/consent", Reading.heard_client),
    ("intake", "POST", f"/relationships/{_ID}/end", Reading.ended),
    ("intake", "POST", f"/relationships/{_ID}/transfer", Reading.transferred),
    ("sessions", "PUT", f"/sessions/{_ID}", Reading.scheduled),
    ("sessions", "POST", f"/sessions/{_ID}/completion", Reading.completed),
    ("sessions", "POST", f"/sessions/{_ID}/missed", Reading.missed),
    ("sessions", "POST", f"/sessions/{_ID}/cancellation", Reading.cancelled),
    ("sessions", "PUT", f"/sessions/{_ID}/feedback/(client|clinician)", Reading.entered),
    ("sessions", "POST", r"/f/([\w-]+)", Reading.filled_in),
    ("notify", "PUT", f"/clinicians/{_ID}/channels", Reading.nothing),
    ("notify", "POST", f"/alerts/{_ID}/acknowledgement", Reading.acknowledged),
    ("notify", "POST", f"/alerts/{_ID}/resolution", Reading.resolved),
)


def read(taken: Iterable[Taken], since: datetime, apart: timedelta) -> Reading:
    """Read all of it. Raises ValueError at a request that this reader does not know."""
    history = Reading(since, apart)
    for request in taken:
        if request.method != "GET":
            _take(history, request)
    return history


def _take(history: Reading, request: Taken) -> None:
    for service, method, pattern, apply in REQUESTS:
        if (service, method) == (request.service, request.method) and (match := re.fullmatch(pattern, request.path)):
            apply(history, *match.groups(), request)
            return
    raise ValueError(f"the judge does not know what {request.method} {request.service}{request.path} says")
