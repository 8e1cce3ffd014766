"""The episodes that a policy would have raised on a recorded history, and how they differ from another policy's.

Answers are read as they were last amended. Two episodes under two policies are the same if they overlap in time: a
lower threshold opens an episode at an earlier sign, but it is still the same rupture.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias
from uuid import UUID

from services.alliance.domain.detection.detectors import ObservedEvent
from services.alliance.domain.fold import fold_steps
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Episode
from services.alliance.domain.state.history import HistoryEvent, clinician_of
from services.alliance.domain.tuning.dispositions import detectors_of
from shared.events import SessionCancelled, SessionCompleted, SessionMissed, Severity

NEVER = datetime.max.replace(tzinfo=UTC)

ClinicianWeek: TypeAlias = tuple[UUID | None, str]
"""A clinician, and a week in which there was an appointment."""


@dataclass(frozen=True, slots=True)
class ReplayedEpisode:
    """The final state of an episode."""

    relationship: UUID
    clinician: UUID | None
    episode_id: UUID
    raised_at: datetime
    """When it became of concern; if it never did, its first sign."""
    first_sign_at: datetime
    ended_at: datetime
    """When it was repaired or retracted; NEVER while it is open."""
    severity: Severity
    peak_probability: float
    """The highest probability of a rupture at one of its signs, which determines its severity."""
    detectors: tuple[str, ...]

    @property
    def is_alert(self) -> bool:
        """Whether the clinician is notified; an episode that is only worth watching just appears in the inbox."""
        return self.severity != "watch"

    @property
    def week(self) -> ClinicianWeek:
        return self.clinician, iso_week(self.raised_at)


ChangeKind = Literal[
    "raised", "no longer raised", "raised as before", "watched", "no longer watched", "watched as before", "nothing"
]
_CHANGE_KINDS: dict[tuple[int, int], ChangeKind] = {
    (0, 0): "nothing",
    (0, 1): "watched",
    (0, 2): "raised",
    (1, 0): "no longer watched",
    (1, 1): "watched as before",
    (1, 2): "raised",
    (2, 0): "no longer raised",
    (2, 1): "no longer raised",
    (2, 2): "raised as before",
}
"""By the old and the new rank: 0 no episode, 1 worth watching, 2 an alert."""


@dataclass(frozen=True, slots=True)
class EpisodeChange:
    """One rupture under two policies."""

    old: ReplayedEpisode | None
    new: ReplayedEpisode | None

    @property
    def kind(self) -> ChangeKind:
        """What changes under the new policy."""
        return _CHANGE_KINDS[_alert_rank(self.old), _alert_rank(self.new)]

    @property
    def latest(self) -> ReplayedEpisode:
        """The episode under the new policy, or under the old one if only that raised it."""
        episode = self.new or self.old
        assert episode is not None  # noqa: S101 - at least one is always set
        return episode


def _alert_rank(episode: ReplayedEpisode | None) -> int:
    return 0 if episode is None else 2 if episode.is_alert else 1


def iso_week(at: datetime) -> str:
    """The week by ISO 8601, in UTC."""
    year, week, _ = at.isocalendar()
    return f"{year}-W{week:02}"


def replay_episodes(events: Iterable[HistoryEvent], policy: Policy) -> list[ReplayedEpisode]:
    """Every episode under `policy`, in the order of their first signs."""
    raised_at: dict[UUID, datetime] = {}
    ended_at: dict[UUID, datetime] = {}
    episodes: dict[UUID, Episode] = {}
    history = list(events)
    for event, before, after in fold_steps(history, policy):
        if before.open_episode is not None and (
            after.open_episode is None or after.open_episode.id != before.open_episode.id
        ):
            ended_at[before.open_episode.id] = event.occurred_at
        if after.open_episode is not None:
            episodes[after.open_episode.id] = after.open_episode
            if after.open_episode.severity != "watch":
                raised_at.setdefault(after.open_episode.id, event.occurred_at)
    return [
        ReplayedEpisode(
            history[0].relationship_id,
            clinician_of(history),
            episode.id,
            raised_at.get(episode.id, episode.first_sign_at),
            episode.first_sign_at,
            ended_at.get(episode.id, NEVER),
            episode.severity,
            episode.probability or 0.0,
            detectors_of(episode),
        )
        for episode in episodes.values()
    ]


def appointment_weeks(events: Sequence[HistoryEvent]) -> set[ClinicianWeek]:
    """The weeks in which the clinician had an appointment in this relationship."""
    clinician = clinician_of(events)
    return {(clinician, iso_week(event.occurred_at)) for event in events if isinstance(event, _APPOINTMENT_EVENTS)}


def compare_episodes(old: Sequence[ReplayedEpisode], new: Sequence[ReplayedEpisode]) -> list[EpisodeChange]:
    """The episodes of two policies in one relationship, each once; those that overlap in time are paired."""
    changes: list[EpisodeChange] = []
    left, right = list(old), list(new)
    while left and right:
        first, second = left[0], right[0]
        if first.first_sign_at <= second.ended_at and second.first_sign_at <= first.ended_at:
            changes.append(EpisodeChange(left.pop(0), right.pop(0)))
        elif first.first_sign_at < second.first_sign_at:
            changes.append(EpisodeChange(left.pop(0), None))
        else:
            changes.append(EpisodeChange(None, right.pop(0)))
    return [
        *changes,
        *(EpisodeChange(episode, None) for episode in left),
        *(EpisodeChange(None, episode) for episode in right),
    ]


_APPOINTMENT_EVENTS: tuple[type[ObservedEvent], ...] = (SessionCompleted, SessionMissed, SessionCancelled)
