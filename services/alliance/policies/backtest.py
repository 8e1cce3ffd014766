"""What another policy would have raised on the recorded history; nothing is written."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from services.alliance.domain.policy.policy import Policies, Policy
from services.alliance.domain.state.history import Fact, clinic_of
from services.alliance.domain.tuning.dispositions import Judgement
from services.alliance.domain.tuning.replay import Change, Raised, Week, compare, replay, weeks
from services.alliance.store.mongo import Store

PAGE = 50
"""Relationships read at once: a few thousand facts."""

Progress = Callable[[int, int], None]
"""Told how many relationships were read, of how many."""


@dataclass
class Backtest:
    """What two policies make of the same history."""

    new: Policy
    in_force: set[str] = field(default_factory=set)
    """The policies in force, by their hashes: a clinic may have its own."""
    relationships: int = 0
    weeks: set[Week] = field(default_factory=set)
    changes: list[Change] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)


async def backtest(
    store: Store, policies: Policies, new: Policy, clinic: UUID | None, report_progress: Progress
) -> Backtest:
    """Read every relationship, or those of one clinic, under the policy in force and under the new one."""
    result = Backtest(new)
    async for page in histories(store, clinic, report_progress):
        dispositions = await store.judgements(page)
        for relationship, events in page.items():
            policy = policies.of(clinic_of(events))
            old_episodes = replay(events, policy)
            result.in_force.add(policy.digest)
            result.relationships += 1
            result.weeks |= weeks(events)
            result.changes += compare(old_episodes, replay(events, new))
            own_dispositions = [disposition for disposition in dispositions if disposition.relationship == relationship]
            result.judgements += [_told_now(disposition, old_episodes, policy) for disposition in own_dispositions]
    return result


async def histories(
    store: Store, clinic: UUID | None, report_progress: Progress
) -> AsyncIterator[dict[UUID, Sequence[Fact]]]:
    """All that is known of every relationship, a page at a time."""
    count, read_count = await store.count(clinic), 0
    report_progress(read_count, count)
    after: UUID | None = None
    while page := await store.page(clinic, after, PAGE):
        after = page[-1]
        yield dict(await store.history(page))
        read_count += len(page)
        report_progress(read_count, max(read_count, count))


def _told_now(disposition: Judgement, episodes: Iterable[Raised], policy: Policy) -> Judgement:
    """With what raised it, where that was not known yet when it was judged."""
    if disposition.detectors:
        return disposition
    episode = next((candidate for candidate in episodes if candidate.episode == disposition.episode), None)
    return replace(disposition, detectors=episode.detectors, policy=policy.digest) if episode else disposition
