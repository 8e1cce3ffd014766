"""The simulated course of one relationship, and the rupture that was planted in it (the ground truth)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, get_args
from uuid import UUID

from shared.clinical.instruments import INSTRUMENTS
from shared.events import Aim, Element, EndReason, TalkedAbout, Tension

ELEMENTS: tuple[Element, ...] = get_args(Element)
FEEDBACK_WINDOW = timedelta(hours=72)  # the default of the sessions service

CancelledBy = Literal["client", "clinician", "clinic"]
RuptureKind = Literal["dip", "step", "slide", "element", "withdrawal", "tension_reported"]


@dataclass(frozen=True)
class Clinic:
    id: UUID
    name: str
    time_zone: str


@dataclass(frozen=True)
class Clinician:
    id: UUID
    clinic_id: UUID
    name: str
    email: str | None
    has_webhook: bool


@dataclass(frozen=True)
class Rupture:
    """A planted rupture: its sessions, and how far the ratings drop."""

    kind: RuptureKind
    first_session: int
    last_session: int
    drop_points: float
    elements: tuple[Element, ...] = ELEMENTS
    is_repaired: bool = True

    def covers(self, number: int) -> bool:
        """Whether it affects the session of this number."""
        return self.first_session <= number and (number <= self.last_session or not self.is_repaired)

    def keeps_client_away(self, number: int) -> bool:
        """Whether the client misses the session of this number because of it.

        A withdrawal that is not repaired still covers the sessions after its last one, but the client comes again.
        """
        return self.kind == "withdrawal" and self.first_session <= number <= self.last_session

    def drop_at(self, number: int) -> float:
        """By how many points the ratings of its elements drop in the session of this number."""
        if not self.covers(number):
            return 0.0
        if self.kind == "slide":
            return self.drop_points * min(
                1.0, (number - self.first_session + 1) / (self.last_session - self.first_session + 1)
            )
        return self.drop_points


@dataclass(frozen=True)
class SimulatedAnswer:
    """One answer. Without `given_at` it is submitted through the form link."""

    given_at: datetime | None
    ratings: Mapping[Element, int] = field(default_factory=dict)
    srs_total: int | None = None
    tension: Tension | None = None
    talked_about: TalkedAbout | None = None
    correction: "SimulatedAnswer | None" = None

    @property
    def final(self) -> "SimulatedAnswer":
        return self.correction or self

    @property
    def score(self) -> float:
        """The score, from 0 to 100."""
        if self.srs_total is not None:
            return INSTRUMENTS["srs"].score(self.srs_total)
        return 10 * sum(self.ratings.values()) / len(self.ratings)


@dataclass(frozen=True)
class Session:
    id: UUID
    number: int
    starts_at: datetime
    minutes: int = 50
    outcome: Literal["held", "missed", "cancelled"] = "held"
    cancelled_by: CancelledBy | None = None
    cancelled_at: datetime | None = None
    client: SimulatedAnswer | None = None
    clinician: SimulatedAnswer | None = None
    is_entered_late: bool = False
    """It is entered into the clinic's system only after the next session."""

    @property
    def ended_at(self) -> datetime:
        return self.starts_at + timedelta(minutes=self.minutes)


@dataclass(frozen=True)
class Course:
    """Everything that happened in one relationship until today."""

    id: UUID
    clinic_id: UUID
    clinician_id: UUID
    client_id: UUID
    case_code: str
    started_at: datetime
    aims: tuple[Aim, ...]
    cadence_days: int
    sessions: tuple[Session, ...]
    spread: float = 0.55
    rupture: Rupture | None = None
    has_varied_ratings: bool = True
    """False for a client who always gives the same rating."""
    ending: tuple[datetime, EndReason] | None = None
    successor: "Course | None" = None
    """With the next clinician, after a transfer."""

    def with_successors(self) -> "Iterator[Course]":
        yield self
        if self.successor:
            yield from self.successor.with_successors()

    def client_answers(self) -> list[tuple[Session, SimulatedAnswer]]:
        """The client's answers, in the order of the sessions."""
        return [(session, session.client.final) for session in self.sessions if session.client]


MIN_DEEP_SPREADS, MIN_DEEP_POINTS, MIN_DEEP_ANSWERS, MIN_BASELINE_ANSWERS = 3.0, 2.5, 2, 6


def severe_reason(course: Course) -> str | None:
    """Why the planted rupture must be detected; None if it may be missed.

    Computed from the planted rupture and the submitted answers, never from what Attune detected.
    """
    rupture = course.rupture
    if rupture is None:
        return None
    ruptured_sessions = [session for session in course.sessions if rupture.covers(session.number)]
    if any(
        _is_direct_report(answer) for session in ruptured_sessions for answer in (session.client, session.clinician)
    ):
        return "tension reported"
    outcomes = [session.outcome for session in ruptured_sessions]
    if ("missed", "missed", "missed") in zip(outcomes, outcomes[1:], outcomes[2:], strict=False):
        return "missed three sessions"
    baseline_scores = [
        answer.score for session, answer in course.client_answers() if session.number < rupture.first_session
    ]
    if (
        len(baseline_scores) < MIN_BASELINE_ANSWERS
        or not course.has_varied_ratings
        or len(rupture.elements) < len(ELEMENTS)
    ):
        return None
    baseline = sum(baseline_scores) / len(baseline_scores)
    min_drop = 10 * max(MIN_DEEP_SPREADS * course.spread, MIN_DEEP_POINTS)
    deep_answers = [
        answer
        for session, answer in course.client_answers()
        if session in ruptured_sessions and baseline - answer.score >= min_drop
    ]
    return "large drop" if len(deep_answers) >= MIN_DEEP_ANSWERS else None


def _is_direct_report(answer: SimulatedAnswer | None) -> bool:
    return answer is not None and (answer.final.tension, answer.final.talked_about) == ("yes", "not")


def latest_possible_sign(course: Course, rupture: Rupture) -> datetime:
    """The latest time of a sign of the rupture: answers about its last session can be late."""
    session_ends = [session.ended_at for session in course.sessions if rupture.covers(session.number)]
    return max(session_ends) + 2 * FEEDBACK_WINDOW
