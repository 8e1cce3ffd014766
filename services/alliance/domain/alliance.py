"""What is known of one relationship, small enough to be written whole with every fact."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.alliance.domain.facts import Fact, Happened, happened
from shared.events import Element, Evidence, FeedbackAmended, Severity

Outcome = Literal["held", "missed", "cancelled_late", "cancelled"]


@dataclass(frozen=True, slots=True)
class Series:
    """One person's ratings over time, as what they are usually like and how they have been lately."""

    ratings: int = 0
    """All ratings, those inside an episode too."""
    usual: int = 0
    """How many ratings the baseline rests on: those outside episodes."""
    total: float = 0.0
    """Their sum."""
    rolling: float | None = None
    """The exponentially weighted mean, 0 to 100."""
    slide: float = 0.0
    """The accumulated surprise (one-sided CUSUM, in spreads)."""
    last: float | None = None
    unvaried: int = 0
    """How many ratings in a row were the same as the last."""

    @property
    def mean(self) -> float | None:
        """What is usual here, not shrunk towards anything; none before there is a baseline."""
        return self.total / self.usual if self.usual else None


@dataclass(frozen=True, slots=True)
class Apartness:
    """How an element usually stands to the whole, or one person's rating to the other's."""

    count: int = 0
    total: float = 0.0

    @property
    def usual(self) -> float:
        return self.total / self.count if self.count else 0.0


@dataclass(frozen=True, slots=True)
class Session:
    """One of the latest appointments, and what was said of it."""

    session_id: UUID
    at: datetime
    outcome: Outcome | None = None
    """None while only an answer about it is known."""
    client: float | None = None
    clinician: float | None = None
    answered: tuple[str, ...] = ()
    """Who has answered; an answer that comes twice counts once."""


@dataclass(frozen=True, slots=True)
class Episode:
    """Signs of a rupture, from the first to its repair."""

    id: UUID
    first_sign_at: datetime
    last_sign_at: datetime
    severity: Severity
    evidence: tuple[Evidence, ...]
    changes: int = 0
    calm: int = 0
    """Ratings in a row that lay within the relationship's own range."""
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Retraction:
    """An episode that has nothing to rest on any more, and why."""

    episode: Episode
    at: datetime
    reason: Literal["amended", "ended", "consent_withdrawn"]


@dataclass(frozen=True, slots=True)
class Alliance:
    """The alliance as a fold of the facts up to `last`."""

    last: Happened | None = None
    clinic_id: UUID | None = None
    clinician_id: UUID | None = None
    case_code: str | None = None
    predecessor_id: UUID | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    erasure: UUID | None = None
    """The id of the fact that the client is to be forgotten; nothing else is known then, whenever it is told."""
    watched: bool = False
    """Whether the client's consent is in force; nothing is scored and nothing looked for without it."""
    sessions: int = 0
    missed: int = 0
    lapsed: int = 0
    answered: int = 0
    withdrawal: float = 0.0
    client: Series = Series()
    clinician: Series = Series()
    elements: dict[Element, Apartness] = field(default_factory=dict)
    levels: dict[Element, float] = field(default_factory=dict)
    """Each element's rolling score, 0 to 100."""
    between: Apartness = Apartness()
    """The client's rating less the clinician's."""
    recent: tuple[Session, ...] = ()
    open: Episode | None = None
    closed: Episode | None = None
    """The last one that was repaired."""
    retracted: Retraction | None = None

    def precedes(self, fact: Fact) -> bool:
        """Whether `fact` happened after everything known, so that it can be taken in without reading back.

        An amended answer reaches back to where it was first given.
        """
        return not isinstance(fact, FeedbackAmended) and (self.last is None or self.last < happened(fact))
