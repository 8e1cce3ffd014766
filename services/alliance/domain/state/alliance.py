"""The state of one relationship, small enough to be written as a whole with every event."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.alliance.domain.state.history import HistoryEvent, SortKey, correctable_id, is_correction, sort_key
from services.alliance.domain.state.ratings import ElementGaps, PairedRatings, RatingGap, Scale, ScaleBaseline, Series
from shared.events import Element, EpisodeEndReason, Evidence, LevelShift, Severity
from shared.events.intake import EndReason
from shared.events.model import SEVERITY_RANK

Attendance = Literal["held", "missed", "cancelled_late", "cancelled"]

# Made once: every dump compares each field with its default, and a `default_factory` would make that anew each time.
_NO_RATINGS, _NO_GAPS, _NO_DIFFERENCE, _NO_PAIRS = Series(), ElementGaps(), RatingGap(), PairedRatings()


@dataclass(frozen=True)
class Habit:
    """How often one person was asked something, and how often it happened."""

    asked: int = 0
    happened: int = 0


@dataclass(frozen=True)
class Floor:
    """What the client has rated at or below the floor, since two answers in a row were last above it."""

    lowest: dict[str, float] = field(default_factory=dict)
    """The lowest level of which there was an alert, by element, or `whole`; 100 if none since consent was withdrawn."""
    answers_above: int = 0
    """Answers in a row above the floor."""


@dataclass(frozen=True)
class ShiftedLevel:
    """That the ratings have been at another level since an episode that was not repaired."""

    since: datetime
    direction: LevelShift
    usual_limit: float
    """The edge of the range that was usual before; the shift is over when the rolling score is there again."""


@dataclass(frozen=True)
class Session:
    """One of the latest appointments, and the answers about it."""

    session_id: UUID
    at: datetime
    number: int = 0
    """Its number among the held sessions, from 1 on; 0 while it is not known to be held."""
    attendance: Attendance | None = None
    """None while only an answer about it is known."""
    without_consent: bool = False
    """Whether consent was not in force when it was held, missed or cancelled: then it does not count."""
    client_rating: float | None = None
    clinician_rating: float | None = None
    answered_by: tuple[str, ...] = ()
    """Who has answered; a second answer by the same rater does not count."""
    tension_reported_by: tuple[str, ...] = ()
    tension_denied_by: tuple[str, ...] = ()
    """Who reported a tension, and who reported that there was none."""
    has_lapsed: bool = False
    """Whether the client's answer did not arrive in time."""

    @property
    def is_client_feedback_known(self) -> bool:
        """Whether the client has answered, or the client's answer has lapsed."""
        return self.has_lapsed or "client" in self.answered_by

    @property
    def both_ratings(self) -> tuple[float, float] | None:
        """The client's rating and the clinician's, once both have rated."""
        if self.client_rating is None or self.clinician_rating is None:
            return None
        return self.client_rating, self.clinician_rating


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
    """Ratings in a row within the relationship's own range."""
    ratings: int = 0
    """The client's ratings since its first sign."""
    probability: float | None = None
    """The highest probability of a rupture at one of its signs; None in states of older versions."""
    closed_at: datetime | None = None
    recorded_at: datetime | None = None
    """When its last sign was recorded, if that was an answer."""
    opening_rating: float | None = None
    """The low rating of the client that opened it, else the first in it; None if no rating is a sign in it."""


@dataclass(frozen=True)
class Retraction:
    """An episode that no longer has a basis, and why."""

    episode: Episode
    at: datetime
    reason: Literal["amended", "ended", "consent_withdrawn"]
    end_reason: EndReason | None = field(default=None, compare=False)
    """Why the relationship ended, if it did. Not compared: states that an older version stored lack it."""


@dataclass(frozen=True)
class EndedEpisode:
    """An episode that ended without a repair or a retraction, and why."""

    episode: Episode
    at: datetime
    reason: EpisodeEndReason
    superseded_by: UUID | None = None
    """The episode that took its place, if it was superseded."""
    shift: LevelShift | None = None
    """Whether the ratings are lower or higher since, if the reason is a level shift."""


@dataclass(frozen=True)
class RetrospectiveSign:
    """The last sign that a rebuild, or other rules than before, found in the history."""

    episode_id: UUID
    at: datetime
    severity: Severity
    probability: float
    """The severity and the probability of its episode."""

    @classmethod
    def of(cls, episode: Episode) -> "RetrospectiveSign":
        """The last sign of the episode."""
        return cls(episode.id, episode.last_sign_at, episode.severity, episode.probability or 0.0)

    def covers(self, episode: Episode) -> bool:
        """Whether the episode has no later sign, and is neither more severe nor more probable."""
        last = RetrospectiveSign.of(episode)
        is_as_severe = SEVERITY_RANK[last.severity] <= SEVERITY_RANK[self.severity]
        is_as_probable = last.probability <= self.probability
        return last.episode_id == self.episode_id and last.at <= self.at and is_as_severe and is_as_probable


@dataclass(frozen=True)
class Alliance:
    """The alliance as a fold of the events up to `last_event_key`."""

    last_event_key: SortKey | None = None
    clinic_id: UUID | None = None
    clinician_id: UUID | None = None
    case_code: str | None = None
    predecessor_id: UUID | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    erasure_id: UUID | None = None
    """The id of the event that erased the client; nothing else is known then, whatever arrives before or after."""
    has_consent: bool = False
    """Whether the client's consent is in force; without it nothing is scored and no sign is detected."""
    sessions: int = 0
    sessions_without_consent: int = 0
    """Those of them that were held while consent was not in force."""
    sessions_cut_short: int = 0
    missed: int = 0
    absences: int = 0
    """Appointments missed or cancelled late."""
    feedback_lapsed: int = 0
    feedback_received: int = 0
    feedback_late: int = 0
    """Answers that arrived after they had lapsed."""
    first_feedback_at: datetime | None = None
    """When client or clinician first answered."""
    components: tuple[float, ...] = ()
    """The probabilities of the components after the latest session; empty before the first."""
    signs: tuple[Evidence, ...] = ()
    """Signs of the last sessions that did not open an episode; they become part of one if it opens."""
    client: Series = _NO_RATINGS
    clinician: Series = _NO_RATINGS
    outcome: Series = _NO_RATINGS
    """How the client fares: shown with the alliance, never part of it."""
    element_gaps: ElementGaps = _NO_GAPS
    element_scores: dict[Element, float] = field(default_factory=dict)
    """Each element's rolling score, 0 to 100."""
    scale: Scale | None = None
    """What the client's latest answer was given on; `client` and `element_gaps` are about this scale."""
    other_scales: dict[str, ScaleBaseline] = field(default_factory=dict)
    """The scales of before, by their key."""
    client_tension: Habit = Habit()
    clinician_tension: Habit = Habit()
    """How often each was asked about a tension, and reported one."""
    floor: Floor = field(default_factory=Floor)
    shifted_level: ShiftedLevel | None = None
    rater_gap: RatingGap = _NO_DIFFERENCE
    """The client's rating minus the clinician's, outside episodes of concern."""
    paired_ratings: PairedRatings = _NO_PAIRS
    recent_sessions: tuple[Session, ...] = ()
    open_episode: Episode | None = None
    last_repaired: Episode | None = None
    last_retraction: Retraction | None = None
    last_ended: EndedEpisode | None = None
    resolved_level: float | None = None
    """The opening rating of the last episode that a clinician resolved, until the client rates no higher again."""
    amended_unknown: tuple[UUID, ...] = ()
    """The ids of answers and resolutions of which only a correction is known; when one arrives, it is folded as
    corrected."""
    corrections: dict[UUID, int] = field(default_factory=dict)
    """The highest correction of each session whose outcome was corrected, and of the relationship's end."""
    last_corrected_at: datetime | None = None
    """When the last correction was made: what occurred before that may have been a sign before the correction."""

    @property
    def sessions_counted(self) -> int:
        """The sessions from which it is learnt how regularly the client comes: those held with consent."""
        return self.sessions - self.sessions_without_consent

    def find_session(self, session_id: UUID) -> Session | None:
        """The session, if it is still among the recent ones."""
        for session in reversed(self.recent_sessions):  # nearly always the newest
            if session.session_id == session_id:
                return session
        return None

    def precedes(self, event: HistoryEvent) -> bool:
        """Whether `event` occurred after everything known, so that it can be applied without a refold.

        A correction takes effect in the past, so it always needs a refold; so does what arrives after its correction.
        """
        if self.last_event_key is not None and self.last_event_key >= sort_key(event):
            return False
        if is_correction(event) or (self.amended_unknown and event.id in self.amended_unknown):
            return False
        if self.last_corrected_at is not None and event.occurred_at <= self.last_corrected_at:
            return False
        return not self.corrections or correctable_id(event) not in self.corrections
