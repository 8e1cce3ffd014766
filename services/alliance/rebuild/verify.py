"""Seeing whether the view of alliance is what the topics say, while the service runs; nothing is written.

What differs at first sight may only be on its way. So it is looked at again, once the service has committed all that
lay on the topics, until it stands still: a difference that is reported is one.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from services.alliance.domain.fold import read_again
from services.alliance.domain.policy.policy import Policies
from services.alliance.domain.state.history import Fact, clinic_of
from services.alliance.rebuild.rebuild import Known, everything, pages
from services.alliance.rebuild.staging import Shadow, difference, readable
from services.alliance.store.mongo import Kept, Store
from shared.kafka.topic_reader import History, Positions, Slice, until_taken_in
from shared.mongo.client import Document
from shared.rebuild.job import cut

PATIENCE = 30.0
"""Seconds for the service to take in what lies on the topics; what is still on its way then is not compared."""
PAGE = 5_000

Progress = Callable[[int, int], None]
"""Told how many messages were compared, of how many."""
Say = Callable[[str], None]


@dataclass(slots=True)
class Verified:
    """What came out of it, in relationships."""

    compared: int = 0
    different: int = 0
    on_its_way: int = 0
    """With facts that the service has not taken in yet."""
    other_policy: set[UUID] = field(default_factory=set)
    """Last read under another policy than the one in force, so that their state cannot be compared."""


@dataclass(frozen=True, slots=True)
class There:
    """What the database holds of one relationship."""

    state: Document | None
    facts: Mapping[UUID, bytes]
    judged: frozenset[UUID]


class Verify:
    """Compares the view with the topics; `say` is told of each difference by its names, never of what anybody said."""

    def __init__(
        self, servers: str, group: str, store: Store, shadow: Shadow, policies: Policies, history: History, say: Say
    ) -> None:
        self._servers = servers
        self._group = group
        self._store = store
        self._shadow = shadow
        self._policies = policies
        self._history = history
        self._say = say
        self._found = Verified()

    async def __call__(self, progress: Progress) -> Verified:
        """Compare everything. Raises StoreUnavailable and BrokerUnavailable."""
        sizes = await self._history.sizes()
        through, seen, read = 0, set[UUID](), list[tuple[Slice, Positions]]()
        progress(through, sum(sizes))
        for which, size in cut(sizes):
            positions: Positions = {}
            known = await everything(self._history, which, positions)
            suspects: dict[UUID, Known] = {}
            compared = through
            for page in pages(known):
                suspects |= {r: known[r] for r in await self._suspects(page)}
                compared += sum(len(one.facts) for one in page.values())
                progress(min(compared, through + size), sum(sizes))
            await self._look_again(which, positions, suspects)
            seen |= known.keys()
            read.append((which, positions))
            through += size
        progress(sum(sizes), sum(sizes))
        self._found.compared = len(seen)
        await self._look_for_others(seen, read)
        return self._found

    async def _suspects(self, page: Mapping[UUID, Known]) -> list[UUID]:
        there = await self._there(page)
        found = {r: [*self._differences(r, known, there[r])] for r, known in page.items()}
        return [r for r, differences in found.items() if differences]

    async def _look_again(self, which: Slice, positions: Positions, suspects: dict[UUID, Known]) -> None:
        """Until each stands still: no fact came to it while we looked, and the service had taken in all before."""
        give_up = time.monotonic() + PATIENCE
        while suspects:
            left = give_up - time.monotonic()
            if not await until_taken_in(self._servers, self._group, which.partition, positions, left):
                self._found.on_its_way += len(suspects)
                return
            there = await self._there(suspects)
            since = await everything(self._history, which, positions)
            for r in suspects.keys() - since.keys():
                self._report(r, [*self._differences(r, suspects.pop(r), there[r])])
            for r, known in suspects.items():
                known.add(since[r])

    async def _look_for_others(self, seen: set[UUID], read: Sequence[tuple[Slice, Positions]]) -> None:
        """Relationships that are kept, and that the topics know nothing of."""
        others: set[UUID] = set()
        after: UUID | None = None
        while page := await self._store.page(None, after, PAGE):
            after = page[-1]
            others |= set(page) - seen
        if others:
            for which, positions in read:
                others -= (await everything(self._history, which, positions)).keys()
        for r in sorted(others):
            self._report(r, ["not on the topics"])

    async def _there(self, relationships: Mapping[UUID, Known]) -> dict[UUID, There]:
        # The states first: what a state holds is then among the facts that we see.
        states = await self._shadow.states(relationships)
        facts = await self._shadow.facts(relationships)
        asked = [r for r, known in relationships.items() if known.resolved]
        judged = frozenset(j.id for j in await self._store.judgements(asked)) if asked else frozenset[UUID]()
        return {r: There(states.get(r), facts[r], judged) for r in relationships}

    def _differences(self, r: UUID, known: Known, there: There) -> Iterator[str]:
        facts = list(known.facts.values())
        ought = self._fold(r, facts)
        erasure = ought.alliance.erasure
        missing, otherwise = known.to_put_back(there.facts, erasure)
        others = [i for i in there.facts if i not in known.facts]
        if erasure is None and there.state is not None and there.state.get("policy") != ought.read.policy:
            self._found.other_policy.add(r)
        elif facts:
            yield from self._in_state(ought, facts, there, others)
        if missing:
            yield f"{len(missing)} facts missing"
        if otherwise:
            yield f"{len(otherwise)} facts otherwise"
        if others:
            yield f"{len(others)} facts not on the topics"
        if erasure is not None and (left := [i for i in there.facts if i in known.facts and i != erasure]):
            yield f"{len(left)} facts not forgotten"
        if erasure is None and (unjudged := {e.id for e in known.resolved} - there.judged):
            yield f"{len(unjudged)} judgements missing"

    def _in_state(self, ought: Kept, facts: Sequence[Fact], there: There, others: Sequence[UUID]) -> tuple[str, ...]:
        """Against what the topics say; facts that only the database knows may be in it or not."""
        found = difference(there.state, ought)
        if found and others:
            strange = [fact for i in others if (fact := readable(there.facts[i], ought.relationship))]
            return difference(there.state, self._fold(ought.relationship, [*facts, *strange])) and found
        return found

    def _fold(self, r: UUID, facts: Sequence[Fact]) -> Kept:
        return Kept(r, read_again(facts, self._policies.of(clinic_of(facts))))

    def _report(self, relationship: UUID, differences: Sequence[str]) -> None:
        if differences:
            self._found.different += 1
            self._say(f"{relationship}: {', '.join(differences)}")
