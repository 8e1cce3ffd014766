"""What a policy would have raised on a recorded history, and how that differs from another policy.

Answers are read as they were last amended. What counts as the same under two policies is what overlaps in time: a
lower threshold opens an episode at an earlier sign, and it is the same rupture still.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias
from uuid import UUID

from services.alliance.domain.detection.detectors import Witnessed
from services.alliance.domain.fold import states
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Episode
from services.alliance.domain.state.history import Fact, clinician_of
from services.alliance.domain.tuning.dispositions import detectors_of
from shared.events import SessionCancelled, SessionCompleted, SessionMissed, Severity

NEVER = datetime.max.replace(tzinfo=UTC)

Week: TypeAlias = tuple[UUID | None, str]
"""A clinician, and a week in which there was an appointment."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An episode as it was in the end."""

    relationship: UUID
    clinician: UUID | None
    episode: UUID
    at: datetime
    """When it came to be of concern; of one that never did, its first sign."""
    since: datetime
    until: datetime
    """When it was repaired or retracted; NEVER while it is open."""
    severity: Severity
    peak: float
    """The highest belief in it at one of its signs: what its severity follows from."""
    detectors: tuple[str, ...]

    @property
    def interrupts(self) -> bool:
        """Whether somebody is messaged; what is only worth watching stands in the inbox."""
        return self.severity != "watch"

    @property
    def week(self) -> Week:
        return self.clinician, week_of(self.at)


Kind = Literal[
    "raised", "no longer raised", "raised as before", "watched", "no longer watched", "watched as before", "nothing"
]
_KIND: dict[tuple[int, int], Kind] = {
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
"""By what it was and what it would be: 0 not there, 1 to watch, 2 an alert."""


@dataclass(frozen=True, slots=True)
class Change:
    """One rupture as two policies see it."""

    old: Raised | None
    new: Raised | None

    @property
    def kind(self) -> Kind:
        """What becomes of it under the new policy."""
        return _KIND[_weight(self.old), _weight(self.new)]

    @property
    def shown(self) -> Raised:
        """As the policy sees it that sees it, the new one where both do."""
        episode = self.new or self.old
        assert episode is not None  # noqa: S101 - one of the two always does
        return episode


def _weight(episode: Raised | None) -> int:
    return 0 if episode is None else 2 if episode.interrupts else 1


def week_of(at: datetime) -> str:
    """The week by ISO 8601, in UTC."""
    year, week, _ = at.isocalendar()
    return f"{year}-W{week:02}"


def replay(facts: Iterable[Fact], policy: Policy) -> list[Raised]:
    """Every episode there would have been under `policy`, in the order of their first signs."""
    raised_at: dict[UUID, datetime] = {}
    ended_at: dict[UUID, datetime] = {}
    episodes: dict[UUID, Episode] = {}
    peak_probabilities: defaultdict[UUID, float] = defaultdict(float)
    history = list(facts)
    for event, before, after in states(history, policy):
        if before.open is not None and (after.open is None or after.open.id != before.open.id):
            ended_at[before.open.id] = event.occurred_at
        if after.open is not None:
            episodes[after.open.id] = after.open
            if after.open.last_sign_at == event.occurred_at:
                peak_probabilities[after.open.id] = max(peak_probabilities[after.open.id], after.belief)
            if after.open.severity != "watch":
                raised_at.setdefault(after.open.id, event.occurred_at)
    return [
        Raised(
            history[0].relationship_id,
            clinician_of(history),
            episode.id,
            raised_at.get(episode.id, episode.first_sign_at),
            episode.first_sign_at,
            ended_at.get(episode.id, NEVER),
            episode.severity,
            peak_probabilities[episode.id],
            detectors_of(episode),
        )
        for episode in episodes.values()
    ]


def weeks(facts: Sequence[Fact]) -> set[Week]:
    """The weeks in which the clinician had an appointment in this relationship."""
    clinician = clinician_of(facts)
    return {(clinician, week_of(event.occurred_at)) for event in facts if isinstance(event, _APPOINTMENTS)}


def compare(old: Sequence[Raised], new: Sequence[Raised]) -> list[Change]:
    """What two policies raised in one relationship, each once, and together what overlaps in time."""
    changes: list[Change] = []
    left, right = list(old), list(new)
    while left and right:
        first, second = left[0], right[0]
        if first.since <= second.until and second.since <= first.until:
            changes.append(Change(left.pop(0), right.pop(0)))
        elif first.since < second.since:
            changes.append(Change(left.pop(0), None))
        else:
            changes.append(Change(None, right.pop(0)))
    return [*changes, *(Change(episode, None) for episode in left), *(Change(None, episode) for episode in right)]


_APPOINTMENTS: tuple[type[Witnessed], ...] = (SessionCompleted, SessionMissed, SessionCancelled)
