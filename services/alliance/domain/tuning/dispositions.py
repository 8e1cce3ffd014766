"""What clinicians say of alerts: whether they were worth the interruption. It moves no score; it is counted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.alliance.domain.fold import fold_steps
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, Episode
from services.alliance.domain.state.history import HistoryEvent
from shared.events import AlertResolved

UNKNOWN = "unknown"
"""The detector of an episode that nothing is known of, or not yet."""


@dataclass(frozen=True, slots=True)
class Disposition:
    """What was said of one alert, and what had raised it as far as that was known then."""

    id: UUID
    """Of the event."""
    relationship: UUID
    episode: UUID
    at: datetime
    useful: bool | None
    detectors: tuple[str, ...] = ()
    policy: str = ""
    """Names the thresholds in force when it was judged."""


@dataclass(frozen=True, slots=True)
class Precision:
    """How often alerts in which a detector took part were worth the interruption."""

    policy: str
    detector: str
    useful: int
    not_useful: int
    not_stated: int

    @property
    def useful_ratio(self) -> float | None:
        stated = self.useful + self.not_useful
        return self.useful / stated if stated else None


def create_disposition(event: AlertResolved, episode: Episode | None, policy: str) -> Disposition:
    """What the clinician said, with the detectors behind the episode."""
    return Disposition(
        event.id,
        event.relationship_id,
        event.episode_id,
        event.occurred_at,
        event.useful,
        detectors_of(episode) if episode else (),
        policy if episode else "",
    )


def detectors_of(episode: Episode) -> tuple[str, ...]:
    return tuple(sorted({sign.detector for sign in episode.evidence}))


def find_current_episode(alliance: Alliance, episode_id: UUID) -> Episode | None:
    """The episode, if it is among those that the state still holds."""
    retracted_episode = alliance.last_retraction.episode if alliance.last_retraction else None
    return next(
        (
            episode
            for episode in (alliance.open_episode, alliance.last_repaired, retracted_episode)
            if episode and episode.id == episode_id
        ),
        None,
    )


def find_past_episode(events: Sequence[HistoryEvent], episode_id: UUID, policy: Policy) -> Episode | None:
    """The episode as it was last, wherever in the history it lies."""
    found = None
    for _, _, after in fold_steps(events, policy):
        found = find_current_episode(after, episode_id) or found
    return found


def measure_precision(dispositions: Iterable[Disposition]) -> list[Precision]:
    """By policy and detector; an alert counts for each detector that took part in it."""
    counts: dict[tuple[str, str], list[int]] = {}
    for disposition in dispositions:
        for detector in disposition.detectors or (UNKNOWN,):
            count = counts.setdefault((disposition.policy or UNKNOWN, detector), [0, 0, 0])
            count[2 if disposition.useful is None else 0 if disposition.useful else 1] += 1
    return [Precision(policy, detector, *count) for (policy, detector), count in sorted(counts.items())]
