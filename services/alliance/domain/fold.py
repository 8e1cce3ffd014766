"""The alliance as a pure function of what is known of a relationship.

All that moves the score is called from here. The order in which facts arrive does not matter: they are read in
the order in which they happened, each once, every answer as it was last amended. Taking in the fact that happened
next (`evolve`) gives the same, to the bit, as reading everything again (`fold`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import assert_never
from uuid import UUID

from services.alliance.domain.detection import episodes
from services.alliance.domain.detection.attendance import attend, silence
from services.alliance.domain.detection.feedback import answer
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, Episode, Retraction
from services.alliance.domain.state.fast_replace import replace
from services.alliance.domain.state.history import Fact, as_amended, happened, in_order
from shared.events import (
    ClientErased,
    ConsentGiven,
    ConsentWithdrawn,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackSubmitted,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
)

AMENDMENTS = 8  # the latest ones that are looked into for what they retracted, so that a refold stays linear


def fold(facts: Iterable[Fact], policy: Policy) -> Alliance:
    """Read all that is known, in the order in which it happened."""
    return read_again(facts, policy).alliance


@dataclass(frozen=True, slots=True)
class Read:
    """An alliance, and what is told besides of the way to it."""

    alliance: Alliance
    repaired: tuple[Episode, ...] = field(default=(), compare=False)
    """The episodes that were repaired while reading; the alliance itself remembers only the last one."""
    retracted: Retraction | None = field(default=None, compare=False)
    """The last one that was retracted while reading."""
    policy: str = ""
    """Names the thresholds under which all of it was read."""


def read_again(facts: Iterable[Fact], policy: Policy) -> Read:
    """Read all that is known from the beginning."""
    sorted_events = in_order(facts)
    if erased := _erased(sorted_events):
        return Read(erased, policy=policy.digest)
    alliance, seen_episodes = _through(Alliance(), as_amended(sorted_events), policy)
    if sorted_events:
        alliance = replace(alliance, last=happened(sorted_events[-1]))
    retraction = _retracted_by_amendment(sorted_events, seen_episodes, policy)
    if retraction and (alliance.retracted is None or alliance.retracted.at < retraction.at):
        alliance = replace(alliance, retracted=retraction)
    return Read(alliance, _repaired(seen_episodes), alliance.retracted, policy.digest)


def read_on(alliance: Alliance, newer_events: Iterable[Fact], policy: Policy) -> Read:
    """Take in facts that all happened after everything known: the alliance precedes each of them.

    It must have been read under the same policy.
    """
    after, seen_episodes = _through(alliance, in_order(newer_events), policy)
    new_retraction = None if after.retracted == alliance.retracted else after.retracted
    return Read(
        after,
        tuple(episode for episode in _repaired(seen_episodes) if episode != alliance.closed),
        new_retraction,
        policy.digest,
    )


def evolve(alliance: Alliance, event: Fact, policy: Policy) -> Alliance:
    """Take in the fact that happened next. It never refuses: what has happened has happened."""
    after = replace(alliance, last=happened(event))
    if alliance.erasure is not None:
        return after
    match event:
        case ClientErased():
            return Alliance(last=after.last, erasure=event.id)
        case RelationshipStarted():
            return replace(
                after,
                clinic_id=event.clinic_id,
                clinician_id=event.clinician_id,
                case_code=event.case_code,
                predecessor_id=event.predecessor_id,
                started_at=event.occurred_at,
            )
        case RelationshipEnded():
            return episodes.retract(replace(after, ended_at=event.occurred_at), event.occurred_at, "ended")
        case ConsentGiven():
            return replace(after, watched=True)
        case ConsentWithdrawn():
            return episodes.retract(replace(after, watched=False), event.occurred_at, "consent_withdrawn")
        case RelationshipAimsUpdated() | FeedbackAmended():
            return after  # an amendment is read where its answer was first given (see as_amended)
        case SessionCompleted() | SessionMissed() | SessionCancelled():
            return attend(after, event, policy)
        case FeedbackLapsed():
            return silence(after, event, policy)
        case FeedbackSubmitted():
            return answer(after, event, policy)
        case _:
            assert_never(event)


def states(facts: Iterable[Fact], policy: Policy) -> Iterator[tuple[Fact, Alliance, Alliance]]:
    """Each fact in the order in which they happened, with the alliance before and after it."""
    before = Alliance()
    for event in as_amended(in_order(facts)):
        after = evolve(before, event, policy)
        yield event, before, after
        before = after


def _through(alliance: Alliance, ordered: Iterable[Fact], policy: Policy) -> tuple[Alliance, dict[UUID, Episode]]:
    """The alliance after these facts, and every episode on the way as it was last."""
    seen_episodes: dict[UUID, Episode] = {}
    for event in ordered:
        alliance = evolve(alliance, event, policy)
        for episode in (alliance.closed, alliance.open):
            if episode is not None:
                seen_episodes[episode.id] = episode
    return alliance, seen_episodes


def _repaired(seen: dict[UUID, Episode]) -> tuple[Episode, ...]:
    return tuple(episode for episode in seen.values() if episode.closed_at is not None)


def _erased(ordered: Sequence[Fact]) -> Alliance | None:
    """What is left of a relationship whose client is to be forgotten: that it is so, not even what came before."""
    erasure = next((event for event in ordered if isinstance(event, ClientErased)), None)
    return Alliance(last=happened(ordered[-1]), erasure=erasure.id) if erasure else None


def _retracted_by_amendment(ordered: Sequence[Fact], seen: dict[UUID, Episode], policy: Policy) -> Retraction | None:
    """The last episode that was there before an amendment and is not any more."""
    amendment_indexes = [index for index, event in enumerate(ordered) if isinstance(event, FeedbackAmended)]
    for index in reversed(amendment_indexes[-AMENDMENTS:]):
        _, episodes_before = _through(Alliance(), as_amended(ordered[:index]), policy)
        vanished = [episode for episode in episodes_before.values() if episode.id not in seen]
        if vanished:
            return Retraction(vanished[-1], ordered[index].occurred_at, "amended")
    return None
