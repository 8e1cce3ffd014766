"""The alliance as a pure function of the events known about a relationship.

Everything that changes the score is called from here. The order of arrival does not matter: events are folded in the
order in which they occurred, each once, and as they were last corrected; `state.history` has the rules.
Applying the event that occurred next (`evolve`) gives the same alliance, to the bit, as folding the whole history
(`fold`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never
from uuid import UUID

from services.alliance.domain.detection import episodes
from services.alliance.domain.detection.attendance import apply_attendance, apply_lapse
from services.alliance.domain.detection.feedback import apply_feedback
from services.alliance.domain.detection.floor import forget_levels
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, EndedEpisode, Episode, Retraction, RetrospectiveSign
from services.alliance.domain.state.branches import Branch, find_branches
from services.alliance.domain.state.fast_replace import replace
from services.alliance.domain.state.history import (
    HistoryEvent,
    apply_corrections,
    corrected_at,
    find_unknown_corrected,
    highest_corrections,
    is_correction,
    sort_events,
    sort_key,
)
from shared.events import (
    AlertReopened,
    AlertResolved,
    ClientErased,
    ConsentGiven,
    ConsentWithdrawn,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackSubmitted,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipReopened,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionReinstated,
)

RelationshipHistoryEvent: TypeAlias = (
    RelationshipStarted
    | RelationshipAimsUpdated
    | ConsentGiven
    | ConsentWithdrawn
    | RelationshipEnded
    | RelationshipReopened
    | ClientErased
)
"""The events about the relationship as a whole; all others are about one session."""


def fold(events: Iterable[HistoryEvent], policy: Policy) -> Alliance:
    """Fold all known events, in the order in which they occurred."""
    return refold(events, policy).alliance


@dataclass(frozen=True, slots=True)
class FoldResult:
    """An alliance, and the ends of episodes on the way to it, which are published too.

    The ends are not compared: a refold finds them again, although nothing about the alliance has changed.
    """

    alliance: Alliance
    repaired_episodes: tuple[Episode, ...] = field(default=(), compare=False)
    """The episodes that were repaired during the fold; the alliance itself holds only the last one."""
    last_retraction: Retraction | None = field(default=None, compare=False)
    """The last episode that was retracted during the fold."""
    ended_episodes: tuple[EndedEpisode, ...] = field(default=(), compare=False)
    """The episodes that ended during the fold without a repair or a retraction."""
    policy_digest: str = ""
    """Identifies the policy under which all events were folded."""
    retrospective: RetrospectiveSign | None = field(default=None, compare=False)
    """The last sign that was found in retrospect (`retrospect.py`). It depends on how the state came about."""

    def is_retrospective(self, episode: Episode, *, is_open: bool) -> bool:
        """Whether the episode, as it is, was found in retrospect; so were those that had ended before its sign."""
        sign = self.retrospective
        return sign is not None and (sign.covers(episode) or (not is_open and episode.last_sign_at < sign.at))


def refold(events: Iterable[HistoryEvent], policy: Policy) -> FoldResult:
    """Fold the whole history from the beginning."""
    sorted_events = sort_events(events)
    if erased := _erased_alliance(sorted_events):
        return FoldResult(erased, policy_digest=policy.digest)
    branches = find_branches(sorted_events)
    checkpoints = _fold_on([Checkpoint(0, Alliance(), {}, {})], apply_corrections(sorted_events), branches, policy)
    alliance, seen_episodes = checkpoints[-1].alliance, checkpoints[-1].seen_episodes
    if sorted_events:
        alliance = replace(
            alliance,
            last_event_key=sort_key(sorted_events[-1]),
            amended_unknown=find_unknown_corrected(sorted_events),
            corrections=highest_corrections(sorted_events),
            last_corrected_at=max(map(corrected_at, filter(is_correction, sorted_events)), default=None),
        )
    retraction = _find_retraction_by_correction(checkpoints, branches, policy)
    if retraction and (alliance.last_retraction is None or alliance.last_retraction.at < retraction.at):
        alliance = replace(alliance, last_retraction=retraction)
    return FoldResult(
        alliance,
        _repaired_episodes(seen_episodes),
        alliance.last_retraction,
        tuple(checkpoints[-1].ended_episodes.values()),
        policy.digest,
    )


def fold_forward(alliance: Alliance, newer_events: Iterable[HistoryEvent], policy: Policy) -> FoldResult:
    """Fold events that all occurred after everything known: the alliance precedes each of them.

    The alliance must have been folded under the same policy.
    """
    after, seen_episodes, ended_episodes = _evolve_all(alliance, sort_events(newer_events), policy)
    new_retraction = None if after.last_retraction == alliance.last_retraction else after.last_retraction
    return FoldResult(
        after,
        tuple(episode for episode in _repaired_episodes(seen_episodes) if episode != alliance.last_repaired),
        new_retraction,
        tuple(ended for ended in ended_episodes.values() if ended != alliance.last_ended),
        policy.digest,
    )


def evolve(alliance: Alliance, event: HistoryEvent, policy: Policy) -> Alliance:
    """Apply the event that occurred next. It never refuses: events cannot be refused, only commands can."""
    after = replace(alliance, last_event_key=sort_key(event))
    if alliance.erasure_id is not None:
        return after
    match event:
        case FeedbackSubmitted():
            return apply_feedback(after, event, policy)
        case SessionCompleted() | SessionMissed() | SessionCancelled():
            return episodes.expire_episode(apply_attendance(after, event, policy), event.occurred_at)
        case FeedbackLapsed():
            return episodes.expire_episode(apply_lapse(after, event, policy), event.occurred_at)
        case AlertResolved():
            return episodes.resolve_episode(after, event)
        case FeedbackAmended() | SessionReinstated() | AlertReopened():
            return after  # it takes effect on what it corrects (see apply_corrections)
        case _:
            return _evolve_relationship(after, event)


def _evolve_relationship(alliance: Alliance, event: RelationshipHistoryEvent) -> Alliance:
    """Apply an event about the relationship as a whole."""
    match event:
        case RelationshipStarted():
            return replace(
                alliance,
                clinic_id=event.clinic_id,
                clinician_id=event.clinician_id,
                case_code=event.case_code,
                predecessor_id=event.predecessor_id,
                started_at=event.occurred_at,
            )
        case RelationshipAimsUpdated() | RelationshipReopened():
            return alliance  # the aims do not change the score, and without the end nothing has ended
        case ConsentGiven():
            return replace(alliance, has_consent=True)
        case ConsentWithdrawn():
            floor = forget_levels(alliance.floor)  # with the alerts that stated them
            without_consent = replace(alliance, has_consent=False, resolved_level=None, floor=floor)
            return episodes.retract_open_episode(without_consent, event.occurred_at, "consent_withdrawn")
        case RelationshipEnded():
            ended = replace(alliance, ended_at=event.occurred_at)
            return episodes.retract_open_episode(ended, event.occurred_at, "ended", event.reason)
        case ClientErased():
            return Alliance(last_event_key=alliance.last_event_key, erasure_id=event.id)
        case _:
            assert_never(event)  # an event that was forgotten here or in `evolve` fails in the type check


def fold_steps(events: Iterable[HistoryEvent], policy: Policy) -> Iterator[tuple[HistoryEvent, Alliance, Alliance]]:
    """Each event in the order in which they occurred, with the alliance before and after it."""
    before = Alliance()
    for event in apply_corrections(sort_events(events)):
        after = evolve(before, event, policy)
        yield event, before, after
        before = after


def _evolve_all(
    alliance: Alliance, sorted_events: Iterable[HistoryEvent], policy: Policy
) -> tuple[Alliance, dict[UUID, Episode], dict[UUID, EndedEpisode]]:
    """The alliance after these events, the latest state of every episode on the way, and those that ended."""
    seen_episodes: dict[UUID, Episode] = {}
    ended_episodes: dict[UUID, EndedEpisode] = {}
    for event in sorted_events:
        alliance = evolve(alliance, event, policy)
        for episode in (alliance.last_repaired, alliance.open_episode):
            if episode is not None:
                seen_episodes[episode.id] = episode
        if alliance.last_ended is not None:
            ended_episodes[alliance.last_ended.episode.id] = alliance.last_ended
    return alliance, seen_episodes, ended_episodes


def _repaired_episodes(seen_episodes: Mapping[UUID, Episode]) -> tuple[Episode, ...]:
    return tuple(episode for episode in seen_episodes.values() if episode.closed_at is not None)


def _erased_alliance(sorted_events: Sequence[HistoryEvent]) -> Alliance | None:
    """What remains of a relationship whose client was erased: only the erasure, not even the events before it."""
    erasure = next((event for event in sorted_events if type(event) is ClientErased), None)
    return Alliance(last_event_key=sort_key(sorted_events[-1]), erasure_id=erasure.id) if erasure else None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A fold after this many events."""

    events: int
    alliance: Alliance
    seen_episodes: Mapping[UUID, Episode]
    ended_episodes: Mapping[UUID, EndedEpisode]


def _fold_on(
    checkpoints: Sequence[Checkpoint], events: Sequence[HistoryEvent], branches: Iterable[Branch], policy: Policy
) -> list[Checkpoint]:
    """Fold `events` from the last checkpoint on, with a further one wherever a branch starts, and at the end."""
    start, end = checkpoints[-1].events, checkpoints[-1].events + len(events)
    folded = list(checkpoints)
    for stop in sorted({end, *(branch.start for branch in branches if start < branch.start < end)}):
        last = folded[-1]
        alliance, seen, ended = _evolve_all(last.alliance, events[last.events - start : stop - start], policy)
        folded.append(Checkpoint(stop, alliance, {**last.seen_episodes, **seen}, {**last.ended_episodes, **ended}))
    return folded


def _find_retraction_by_correction(
    checkpoints: Sequence[Checkpoint], branches: Sequence[Branch], policy: Policy
) -> Retraction | None:
    """The last episode that existed before a correction and no longer exists after it."""
    seen_episodes = checkpoints[-1].seen_episodes
    for branch in branches:
        shared = [checkpoint for checkpoint in checkpoints if checkpoint.events <= branch.start]
        checkpoints = _fold_on(shared, branch.events, branches, policy)
        episodes_before = checkpoints[-1].seen_episodes.values()
        vanished = [episode for episode in episodes_before if episode.id not in seen_episodes]
        if vanished:
            return Retraction(vanished[-1], branch.corrected_at, "amended")
    return None
