"""What clinicians say of alerts: whether they were worth the interruption. It moves no score; it is counted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.alliance.domain.fold import states
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, Episode
from services.alliance.domain.state.history import Fact
from shared.events import AlertResolved

UNKNOWN = "unknown"
"""The detector of an episode that nothing is known of, or not yet."""


@dataclass(frozen=True, slots=True)
class Judgement:
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
    unsaid: int

    @property
    def share(self) -> float | None:
        stated = self.useful + self.not_useful
        return self.useful / stated if stated else None


def judged(event: AlertResolved, episode: Episode | None, policy: str) -> Judgement:
    """What the clinician said, with the detectors behind the episode."""
    return Judgement(
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


def remembered(alliance: Alliance, episode_id: UUID) -> Episode | None:
    """The episode, if it is among those that the state still holds."""
    retracted_episode = alliance.retracted.episode if alliance.retracted else None
    return next(
        (
            episode
            for episode in (alliance.open, alliance.closed, retracted_episode)
            if episode and episode.id == episode_id
        ),
        None,
    )


def read_back(facts: Sequence[Fact], episode_id: UUID, policy: Policy) -> Episode | None:
    """The episode as it was last, wherever in the history it lies."""
    found = None
    for _, _, after in states(facts, policy):
        found = remembered(after, episode_id) or found
    return found


def precision(dispositions: Iterable[Judgement]) -> list[Precision]:
    """By policy and detector; an alert counts for each detector that took part in it."""
    counts: dict[tuple[str, str], list[int]] = {}
    for disposition in dispositions:
        for detector in disposition.detectors or (UNKNOWN,):
            count = counts.setdefault((disposition.policy or UNKNOWN, detector), [0, 0, 0])
            count[2 if disposition.useful is None else 0 if disposition.useful else 1] += 1
    return [Precision(policy, detector, *count) for (policy, detector), count in sorted(counts.items())]
