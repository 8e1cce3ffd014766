"""Rebuilding the view of alliance from the topics while the service runs; docs/adr/0010-rebuild.md says why so.

Facts that are missing are put back at once: the service knows each fact once, however often it comes. States that
ought to be otherwise are written beside the view, and swapped in when everything was read, each over the version it
was compared with. Where the service wrote meanwhile, the state is folded again from the facts.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import cast
from uuid import UUID

from services.alliance.domain.derived_events import what_follows
from services.alliance.domain.fold import Read, read_again
from services.alliance.domain.policy.policy import Policies
from services.alliance.domain.state.history import FACTS, Fact, clinic_of
from services.alliance.domain.tuning.dispositions import Judgement, judged, read_back, remembered
from services.alliance.rebuild.staging import (
    MISSING,
    Rebuilt,
    Shadow,
    difference,
    erasure_of,
    readable,
    version_of,
)
from services.alliance.store.mongo import Kept, Store
from shared.events import KINDS, AlertResolved, AllianceUpdated, Event, by_name
from shared.events.cloudevents import decode
from shared.events.topics import ALERTS, ALLIANCE, FEEDBACK, INTAKE, SESSIONS
from shared.kafka.topic_reader import History, Positions, Slice
from shared.mongo.client import Document
from shared.rebuild.job import Counts, Done, Share

HEARD = (INTAKE, SESSIONS, FEEDBACK, ALERTS)
KINDS_HEARD: tuple[type[Event], ...] = (*FACTS, AlertResolved)
PAGE_OF_FACTS = 2_000
"""Facts that are compared with the database at once; more where a single relationship has more."""
SIDE_BY_SIDE = 2
"""Pages: while the database works on one, we fold the other."""
SWAPPED_AT_ONCE = 500

# What is counted, as it is said at the end.
RELATIONSHIPS, FACTS_READ = "relationships read", "facts read"
FACTS_MISSING, FACTS_OTHERWISE = "facts put back", "facts put right"
JUDGEMENTS_MISSING = "judgements put back"
STATES_MISSING, STATES_OTHERWISE = "states put back", "states put right"

_KINDS = by_name(KINDS)

Tell = Callable[[Sequence[Event]], Awaitable[None]]
Say = Callable[[str], None]


@dataclass(slots=True)
class Known:
    """What the topics say of one relationship."""

    relationship: UUID
    facts: dict[UUID, Fact] = field(default_factory=dict)
    messages: dict[UUID, bytes] = field(default_factory=dict)
    resolved: list[AlertResolved] = field(default_factory=list)

    def take(self, event: Fact | AlertResolved, message: bytes) -> None:
        """Each fact as it was told first."""
        if isinstance(event, AlertResolved):
            self.resolved.append(event)
        elif event.id not in self.facts:
            self.facts[event.id] = event
            self.messages[event.id] = message

    def add(self, since: "Known") -> None:
        """What was told later."""
        for i, fact in since.facts.items():
            self.take(fact, since.messages[i])
        self.resolved += since.resolved

    def with_what_came_since(self, kept: Mapping[UUID, bytes]) -> list[Fact]:
        """All that is told, and what is kept besides: it came after the topics were read."""
        since = [
            fact for i, event in kept.items() if i not in self.facts and (fact := readable(event, self.relationship))
        ]
        return [*self.facts.values(), *since]

    def to_put_back(self, kept: Mapping[UUID, bytes], erasure: UUID | None) -> tuple[list[Fact], list[Fact]]:
        """The facts that are not kept, and those that are kept otherwise; of the erased only that they are."""
        wanted = {i: fact for i, fact in self.facts.items() if erasure in (None, i)}
        missing = [fact for i, fact in wanted.items() if i not in kept]
        otherwise = [
            fact
            for i, fact in wanted.items()
            if i in kept and kept[i] != self.messages[i] and readable(kept[i], self.relationship) != fact
        ]
        return missing, otherwise


class Alliances:
    """The view of alliance, as it is rebuilt; `say` is told of each state that was not as it ought to be."""

    def __init__(
        self, servers: str, store: Store, shadow: Shadow, tell: Tell, policies: Policies, history: History, say: Say
    ) -> None:
        self._servers = servers
        self._store = store
        self._shadow = shadow
        self._tell = tell
        self._policies = policies
        self._history = history
        self._say = say

    async def read(self, share: Share, done: Done) -> Counts:
        """Put back what is missing, and write beside what ought to be otherwise."""
        versions = Versions(self._servers, share.slice)
        known = await everything(self._history, share.slice)
        counts: Counts = Counter()
        waiting = pages(known)
        while some := list(islice(waiting, SIDE_BY_SIDE)):
            for found in await asyncio.gather(*(self._compare(share, page, versions) for page in some)):
                counts += found
                done(found[FACTS_READ])
        return counts

    async def swap(self, share: Share, done: Done) -> Counts:
        """Put in place what was written beside, and tell it."""
        counts: Counts = Counter()
        while page := await self._shadow.beside(share.id, SWAPPED_AT_ONCE):
            lost = await self._shadow.swap(page)
            await self._tell_of(one for one in page if one.relationship not in lost)
            await self._fold_again({one.relationship: one.document["v"] for one in page if one.relationship in lost})
            await self._shadow.forget(one.relationship for one in page)
            for one in page:
                counts[STATES_MISSING if one.differs == (MISSING,) else STATES_OTHERWISE] += 1
                if one.differs != (MISSING,):
                    self._say(f"{one.relationship}: {', '.join(one.differs)}")
        return counts

    async def _compare(self, share: Share, page: Mapping[UUID, Known], versions: "Versions") -> Counts:
        # The states first: whoever takes in a fact that we do not see yet writes another version than the one we know.
        there = await self._shadow.states(page)
        kept = await self._shadow.facts(page)
        facts = {r: known.with_what_came_since(kept[r]) for r, known in page.items()}
        reads = {r: self._fold(own) for r, own in facts.items()}
        put_back = [known.to_put_back(kept[r], reads[r].alliance.erasure) for r, known in page.items()]
        missing, wrong = [f for m, _ in put_back for f in m], [f for _, w in put_back for f in w]
        await self._shadow.put_back(missing, wrong)
        await self._forget_erased(reads, {fact.relationship_id for fact in (*missing, *wrong)})
        rebuilt = [
            await self._rebuilt(read, r, there.get(r), differs, versions)
            for r, read in reads.items()
            if (differs := difference(there.get(r), Kept(r, read)))
        ]
        await self._shadow.write_beside(share.id, rebuilt)
        judgements = await self._judge(page, facts, reads)
        return Counter(
            {
                RELATIONSHIPS: len(page),
                FACTS_READ: sum(len(known.facts) for known in page.values()),
                FACTS_MISSING: len(missing),
                FACTS_OTHERWISE: len(wrong),
                JUDGEMENTS_MISSING: judgements,
            }
        )

    def _fold(self, facts: Sequence[Fact]) -> Read:
        return read_again(facts, self._policies.of(clinic_of(facts)))

    async def _rebuilt(
        self, read: Read, r: UUID, there: Document | None, differs: tuple[str, ...], versions: "Versions"
    ) -> Rebuilt:
        """Its version follows on all that were ever told: who hears of it keeps the highest."""
        version = max(version_of(there), await versions.told_of(r)) + 1
        return self._as(Kept(r, read, version), there, differs)

    def _as(self, kept: Kept, there: Document | None, differs: tuple[str, ...]) -> Rebuilt:
        policy = self._policies.of(kept.alliance.clinic_id)
        return Rebuilt.of(kept, there, differs, [*what_follows(kept.relationship, kept.read, kept.version, policy)])

    async def _forget_erased(self, reads: Mapping[UUID, Read], put_back: Collection[UUID]) -> None:
        """Keep nothing of who is to be forgotten, also when that was told while their facts were put back."""
        erasures = {r: read.alliance.erasure for r, read in reads.items() if read.alliance.erasure}
        now = await self._shadow.states(put_back) if put_back else {}
        erasures |= {r: erasure for r, document in now.items() if (erasure := erasure_of(document))}
        await self._store.forget(erasures)

    async def _judge(
        self, page: Mapping[UUID, Known], facts: Mapping[UUID, Sequence[Fact]], reads: Mapping[UUID, Read]
    ) -> int:
        """Put back what clinicians said of alerts, with the detectors behind them; how much that was."""
        said = [e for r, known in page.items() if not reads[r].alliance.erasure for e in known.resolved]
        if not said:
            return 0
        there = {j.id for j in await self._store.judgements({event.relationship_id for event in said})}
        missing = [event for event in said if event.id not in there]
        return len(
            await self._store.judge(
                [self._judged(e, facts[e.relationship_id], reads[e.relationship_id]) for e in missing]
            )
        )

    def _judged(self, event: AlertResolved, facts: Sequence[Fact], read: Read) -> Judgement:
        policy = self._policies.of(read.alliance.clinic_id)
        episode = remembered(read.alliance, event.episode_id) or read_back(facts, event.episode_id, policy)
        return judged(event, episode, read.policy)

    async def _fold_again(self, waiting: Mapping[UUID, int]) -> None:
        """Somebody wrote meanwhile, maybe we at a try before: read the facts again until nobody comes between.

        Told also where nothing changed, and under the version that was meant for it, or a higher one.
        """
        while waiting:
            there = await self._shadow.states(waiting)
            kept = await self._shadow.facts(waiting)
            again = [self._again(r, there.get(r), kept[r], least) for r, least in waiting.items() if kept[r]]
            lost = await self._shadow.swap([one for one in again if one.differs])
            await self._tell_of(one for one in again if one.relationship not in lost)
            waiting = {r: least for r, least in waiting.items() if r in lost}

    def _again(self, r: UUID, there: Document | None, kept: Mapping[UUID, bytes], least: int) -> Rebuilt:
        read = self._fold([fact for event in kept.values() if (fact := readable(event, r))])
        version = version_of(there)
        differs = difference(there, Kept(r, read)) or (("version",) if version < least else ())
        return self._as(Kept(r, read, max(version + 1, least) if differs else version), there, differs)

    async def _tell_of(self, rebuilt: Iterable[Rebuilt]) -> None:
        news = [decode(event, _KINDS) for one in rebuilt for event in one.news]
        await self._tell([event for event in news if event is not None])


class Versions:
    """The highest version that was ever told of each relationship; read only once somebody asks."""

    def __init__(self, servers: str, which: Slice) -> None:
        self._servers = servers
        self._slice = which
        self._told: dict[UUID, int] | None = None
        self._reading = asyncio.Lock()

    async def told_of(self, relationship: UUID) -> int:
        """0 where nothing was told. Raises BrokerUnavailable."""
        async with self._reading:
            if self._told is None:
                self._told = await self._read()
        return self._told.get(relationship, 0)

    async def _read(self) -> dict[UUID, int]:
        told: dict[UUID, int] = {}
        async with History(self._servers, (ALLIANCE,), (AllianceUpdated,)) as history:
            async for batch in history.read(self._slice, {}):
                for recorded in batch:
                    event = cast("AllianceUpdated", recorded.event)
                    told[event.relationship_id] = max(event.version, told.get(event.relationship_id, 0))
        return told


async def everything(history: History, which: Slice, positions: Positions | None = None) -> dict[UUID, Known]:
    """What the topics say of each relationship; with `positions`, what they say since."""
    found: dict[UUID, Known] = {}
    async for batch in history.read(which, {} if positions is None else positions):
        for recorded in batch:
            event = cast("Fact | AlertResolved", recorded.event)
            r = event.relationship_id
            if r not in found:
                found[r] = Known(r)
            found[r].take(event, recorded.message)
    return found


def pages(known: Mapping[UUID, Known]) -> Iterator[dict[UUID, Known]]:
    """A few thousand facts at a time."""
    page: dict[UUID, Known] = {}
    facts = 0
    for relationship, own in known.items():
        page[relationship] = own
        facts += len(own.facts)
        if facts >= PAGE_OF_FACTS:
            yield page
            page, facts = {}, 0
    if page:
        yield page
