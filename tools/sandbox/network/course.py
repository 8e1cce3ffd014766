"""The course of one relationship as it was in the simulated world, and the rupture that was planted in it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal, get_args
from uuid import UUID

from shared.clinical.instruments import INSTRUMENTS
from shared.events import Aim, Element, EndReason, TalkedAbout, Tension

ELEMENTS: tuple[Element, ...] = get_args(Element)
WINDOW = timedelta(hours=72)  # an answer is awaited for so long; the default of the sessions service

By = Literal["client", "clinician", "clinic"]
Kind = Literal["dip", "step", "slide", "element", "withdrawal", "told"]


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
    webhook: bool


@dataclass(frozen=True)
class Rupture:
    """What was planted: from which session to which, and how far the ratings fell."""

    kind: Kind
    first: int
    last: int
    fall: float
    elements: tuple[Element, ...] = ELEMENTS
    repaired: bool = True

    def covers(self, number: int) -> bool:
        """Whether it is felt in the session of this number."""
        return self.first <= number and (number <= self.last or not self.repaired)

    def depth(self, number: int) -> float:
        """How many points it takes from the ratings of its elements in the session of this number."""
        if not self.covers(number):
            return 0.0
        if self.kind == "slide":
            return self.fall * min(1.0, (number - self.first + 1) / (self.last - self.first + 1))
        return self.fall


@dataclass(frozen=True)
class Said:
    """One answer. Without a time it is given through the link, when that is opened."""

    at: datetime | None
    ratings: Mapping[Element, int] = field(default_factory=dict)
    srs: int | None = None
    tension: Tension | None = None
    talked_about: TalkedAbout | None = None
    corrected: "Said | None" = None

    @property
    def in_the_end(self) -> "Said":
        return self.corrected or self

    @property
    def score(self) -> float:
        """From 0 to 100."""
        if self.srs is not None:
            return INSTRUMENTS["srs"].score(self.srs)
        return 10 * sum(self.ratings.values()) / len(self.ratings)


@dataclass(frozen=True)
class Session:
    id: UUID
    number: int
    starts_at: datetime
    minutes: int = 50
    outcome: Literal["held", "missed", "cancelled"] = "held"
    cancelled_by: By | None = None
    cancelled_at: datetime | None = None
    client: Said | None = None
    clinician: Said | None = None
    entered_late: bool = False
    """It reaches the clinic's system only after the next one."""

    @property
    def ended_at(self) -> datetime:
        return self.starts_at + timedelta(minutes=self.minutes)


@dataclass(frozen=True)
class Course:
    """All that happened in one relationship, until today."""

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
    varies: bool = True
    """False for a client who gives the same number whatever happens."""
    ended: tuple[datetime, EndReason] | None = None
    successor: "Course | None" = None
    """With the next clinician, after a transfer."""

    def with_successors(self) -> "Iterator[Course]":
        yield self
        if self.successor:
            yield from self.successor.with_successors()

    def told_of(self) -> list[tuple[Session, Said]]:
        """The client's answers, in the order of the sessions."""
        return [(session, session.client.in_the_end) for session in self.sessions if session.client]


DEEP_SPREADS, DEEP_POINTS, DEEP_ANSWERS, KNOWN_ANSWERS = 3.0, 2.5, 2, 6


def severe(course: Course) -> str | None:
    """Why the planted rupture cannot be missed; none where it may be.

    Read from what was planted and what was told of it, never from what was noticed.
    """
    rupture = course.rupture
    if rupture is None:
        return None
    ruptured_sessions = [session for session in course.sessions if rupture.covers(session.number)]
    if any(_told_outright(answer) for session in ruptured_sessions for answer in (session.client, session.clinician)):
        return "told directly"
    outcomes = [session.outcome for session in ruptured_sessions]
    if ("missed", "missed") in pairwise(outcomes):
        return "stayed away twice"
    baseline_scores = [answer.score for session, answer in course.told_of() if session.number < rupture.first]
    if len(baseline_scores) < KNOWN_ANSWERS or not course.varies or len(rupture.elements) < len(ELEMENTS):
        return None
    baseline = sum(baseline_scores) / len(baseline_scores)
    min_drop = 10 * max(DEEP_SPREADS * course.spread, DEEP_POINTS)
    deep_answers = [
        answer
        for session, answer in course.told_of()
        if session in ruptured_sessions and baseline - answer.score >= min_drop
    ]
    return "fell far" if len(deep_answers) >= DEEP_ANSWERS else None


def _told_outright(said: Said | None) -> bool:
    return said is not None and (said.in_the_end.tension, said.in_the_end.talked_about) == ("yes", "not")


def last_word_on(course: Course, rupture: Rupture) -> datetime:
    """Until when signs of the rupture may show: what is told of its last session can come late."""
    session_ends = [session.ended_at for session in course.sessions if rupture.covers(session.number)]
    return max(session_ends) + 2 * WINDOW
