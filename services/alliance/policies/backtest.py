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


async def backtest(store: Store, policies: Policies, new: Policy, clinic: UUID | None, progress: Progress) -> Backtest:
    """Read every relationship, or those of one clinic, under the policy in force and under the new one."""
    found = Backtest(new)
    async for page in histories(store, clinic, progress):
        judgements = await store.judgements(page)
        for relationship, facts in page.items():
            policy = policies.of(clinic_of(facts))
            old = replay(facts, policy)
            found.in_force.add(policy.digest)
            found.relationships += 1
            found.weeks |= weeks(facts)
            found.changes += compare(old, replay(facts, new))
            own = [judgement for judgement in judgements if judgement.relationship == relationship]
            found.judgements += [_told_now(judgement, old, policy) for judgement in own]
    return found


async def histories(store: Store, clinic: UUID | None, progress: Progress) -> AsyncIterator[dict[UUID, Sequence[Fact]]]:
    """All that is known of every relationship, a page at a time."""
    count, read = await store.count(clinic), 0
    progress(read, count)
    after: UUID | None = None
    while page := await store.page(clinic, after, PAGE):
        after = page[-1]
        yield dict(await store.history(page))
        read += len(page)
        progress(read, max(read, count))


def _told_now(judgement: Judgement, raised: Iterable[Raised], policy: Policy) -> Judgement:
    """With what raised it, where that was not known yet when it was judged."""
    if judgement.detectors:
        return judgement
    behind = next((r for r in raised if r.episode == judgement.episode), None)
    return replace(judgement, detectors=behind.detectors, policy=policy.digest) if behind else judgement
