"""What clinicians decided about alerts, and whether these were useful, for reports and metrics.

That a resolution ends its episode is another matter, and part of the fold.

Which dispositions count depends on which of them, and which reopenings, are known, and not on the order in which they
arrived: a reopening that arrives before the disposition that it takes back is kept and takes effect then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.alliance.domain.fold import fold_steps
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, Episode
from services.alliance.domain.state.history import HistoryEvent
from shared.events import AlertReopened, AlertResolved

UNKNOWN = "unknown"
"""The detector, or the policy, of an episode that is not known, or not yet."""


@dataclass(frozen=True, slots=True)
class Disposition:
    """A clinician's decision about one alert, and what had raised the alert as far as that was known then."""

    id: UUID
    """The id of the `AlertResolved` event."""
    relationship: UUID
    episode: UUID
    at: datetime
    useful: bool | None
    detectors: tuple[str, ...] = ()
    policy: str = ""
    """The digest of the policy in force when the alert was resolved."""


@dataclass(frozen=True, slots=True)
class Reopening:
    """A disposition that its clinician took back."""

    id: UUID
    """The id of the `AlertReopened` event."""
    relationship: UUID
    disposition: UUID
    """Not always one that is recorded: an acknowledgement can be taken back, too."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Precision:
    """How often the alerts of a detector were useful."""

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
    """The clinician's decision, with the detectors of the episode."""
    return Disposition(
        event.id,
        event.relationship_id,
        event.episode_id,
        event.occurred_at,
        event.useful,
        detectors_of(episode) if episode else (),
        policy if episode else "",
    )


def create_reopening(event: AlertReopened) -> Reopening:
    return Reopening(event.id, event.relationship_id, event.disposition_id, event.occurred_at)


def list_counting(dispositions: Iterable[Disposition], reopenings: Iterable[Reopening]) -> list[Disposition]:
    """The dispositions that were not taken back, the latest first."""
    taken_back = {reopening.disposition for reopening in reopenings}
    counting = (disposition for disposition in dispositions if disposition.id not in taken_back)
    return sorted(counting, key=lambda disposition: (disposition.at, disposition.id), reverse=True)


def detectors_of(episode: Episode) -> tuple[str, ...]:
    return tuple(sorted({sign.detector for sign in episode.evidence}))


def find_current_episode(alliance: Alliance, episode_id: UUID) -> Episode | None:
    """The episode, if the state still holds it."""
    retracted_episode = alliance.last_retraction.episode if alliance.last_retraction else None
    ended_episode = alliance.last_ended.episode if alliance.last_ended else None
    return next(
        (
            episode
            for episode in (alliance.open_episode, alliance.last_repaired, retracted_episode, ended_episode)
            if episode and episode.id == episode_id
        ),
        None,
    )


def find_past_episode(events: Sequence[HistoryEvent], episode_id: UUID, policy: Policy) -> Episode | None:
    """The last state of the episode, wherever in the history it occurred."""
    found = None
    for _, _, after in fold_steps(events, policy):
        found = find_current_episode(after, episode_id) or found
    return found


def measure_precision(dispositions: Iterable[Disposition]) -> list[Precision]:
    """The precision by policy and detector; an alert counts once for each of its detectors."""
    counts: dict[tuple[str, str], list[int]] = {}
    for disposition in dispositions:
        for detector in disposition.detectors or (UNKNOWN,):
            count = counts.setdefault((disposition.policy or UNKNOWN, detector), [0, 0, 0])
            count[2 if disposition.useful is None else 0 if disposition.useful else 1] += 1
    return [Precision(policy, detector, *count) for (policy, detector), count in sorted(counts.items())]
