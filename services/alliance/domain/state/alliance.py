"""What is known of one relationship, small enough to be written whole with every fact."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.alliance.domain.state.history import HistoryEvent, SortKey, sort_key
from shared.events import Element, Evidence, FeedbackAmended, Severity

Attendance = Literal["held", "missed", "cancelled_late", "cancelled"]


@dataclass(frozen=True)
class Series:
    """One person's ratings over time, as what they are usually like and how they have been lately."""

    ratings: int = 0
    """All ratings, those inside an episode too."""
    baseline_count: int = 0
    """How many ratings the baseline rests on: those outside episodes."""
    baseline_total: float = 0.0
    """Their sum."""
    rolling_score: float | None = None
    """The exponentially weighted mean, 0 to 100."""
    squared_deviations: float = 0.0
    """The sum of the squared distances from their mean."""
    last: float | None = None
    last_at: datetime | None = None
    below_expected_streak: int = 0
    """How many ratings in a row lay below what was expected."""
    constant_streak: int = 0
    """How many ratings in a row were the same as the last."""
    recent_ratings: tuple[float, ...] = ()
    """The latest ratings, the newest last: as many as a trend is read from."""

    @property
    def baseline_mean(self) -> float | None:
        """What is usual here, not shrunk towards anything; none before there is a baseline."""
        return self.baseline_total / self.baseline_count if self.baseline_count else None


@dataclass(frozen=True)
class RatingGap:
    """How an element usually stands to the others, or one person's rating to the other's."""

    count: int = 0
    total: float = 0.0

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0


@dataclass(frozen=True)
class PairedRatings:
    """What the two said of the same sessions: how far apart they are lately, and whether they move together."""

    count: int = 0
    rolling_difference: float = 0.0
    """The client's rating less the clinician's, exponentially weighted."""
    client_mean: float = 0.0
    clinician_mean: float = 0.0
    """The mean of each, over the sessions that both have rated."""
    client_squared_deviations: float = 0.0
    clinician_squared_deviations: float = 0.0
    deviation_products: float = 0.0
    """The sums of the squared distances from these means, and of their products."""


@dataclass(frozen=True)
class ElementGaps:
    """How the elements usually stand to each other, and how steadily."""

    elements: dict[Element, RatingGap] = field(default_factory=dict)
    forms: int = 0
    squared_deviations: float = 0.0
    """The sum, over forms, of the mean squared distance of the elements from what is usual."""


@dataclass(frozen=True)
class Session:
    """One of the latest appointments, and what was said of it."""

    session_id: UUID
    at: datetime
    number: int = 0
    """Which of the held sessions it is, from 1 on; 0 while it is not known to be held."""
    attendance: Attendance | None = None
    """None while only an answer about it is known."""
    client_rating: float | None = None
    clinician_rating: float | None = None
    answered_by: tuple[str, ...] = ()
    """Who has answered; an answer that comes twice counts once."""
    tension_reported_by: tuple[str, ...] = ()
    tension_denied_by: tuple[str, ...] = ()
    """Who said that there was a tension, and who that there was none."""
    has_lapsed: bool = False
    """Whether the client's answer did not come in time."""

    @property
    def is_client_feedback_known(self) -> bool:
        """Whether it is known what the client says, or that the client says nothing."""
        return self.has_lapsed or "client" in self.answered_by


@dataclass(frozen=True)
class Episode:
    """Signs of a rupture, from the first to its repair."""

    id: UUID
    first_sign_at: datetime
    last_sign_at: datetime
    severity: Severity
    evidence: tuple[Evidence, ...]
    change_count: int = 0
    calm_ratings: int = 0
    """Ratings in a row that lay within the relationship's own range."""
    closed_at: datetime | None = None
    recorded_at: datetime | None = None
    """When its last sign was recorded, where that was an answer."""


@dataclass(frozen=True)
class Retraction:
    """An episode that has nothing to rest on any more, and why."""

    episode: Episode
    at: datetime
    reason: Literal["amended", "ended", "consent_withdrawn"]


@dataclass(frozen=True)
class Alliance:
    """The alliance as a fold of the facts up to `last`."""

    last_event_key: SortKey | None = None
    clinic_id: UUID | None = None
    clinician_id: UUID | None = None
    case_code: str | None = None
    predecessor_id: UUID | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    erasure_id: UUID | None = None
    """The id of the fact that the client is to be forgotten; nothing else is known then, whenever it is told."""
    has_consent: bool = False
    """Whether the client's consent is in force; nothing is scored and nothing looked for without it."""
    sessions: int = 0
    sessions_cut_short: int = 0
    """Sessions that were cut short."""
    missed: int = 0
    absences: int = 0
    """Appointments missed or called off late."""
    feedback_lapsed: int = 0
    feedback_received: int = 0
    feedback_late: int = 0
    """Of the answers, those that came after they had lapsed."""
    first_feedback_at: datetime | None = None
    """When anybody first said how a session felt."""
    withdrawal: float = 0.0
    rupture_probability: float = 0.0
    """That there is a rupture, 0 to 1, after the session that happened last."""
    signs: tuple[Evidence, ...] = ()
    """Signs of the last sessions that did not make an episode, and will be part of it if one opens."""
    client: Series = Series()
    clinician: Series = Series()
    outcome: Series = Series()
    """How the client fares: shown, and never part of what is said of the alliance."""
    element_gaps: ElementGaps = field(default_factory=ElementGaps)
    element_scores: dict[Element, float] = field(default_factory=dict)
    """Each element's rolling score, 0 to 100."""
    rater_gap: RatingGap = RatingGap()
    """The client's rating less the clinician's, outside episodes of concern."""
    paired_ratings: PairedRatings = PairedRatings()
    recent_sessions: tuple[Session, ...] = ()
    open_episode: Episode | None = None
    last_repaired: Episode | None = None
    """The last one that was repaired."""
    last_retraction: Retraction | None = None

    def precedes(self, event: HistoryEvent) -> bool:
        """Whether `fact` happened after everything known, so that it can be taken in without reading back.

        An amended answer reaches back to where it was first given.
        """
        return not isinstance(event, FeedbackAmended) and (
            self.last_event_key is None or self.last_event_key < sort_key(event)
        )
