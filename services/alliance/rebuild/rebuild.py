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
        for event_id, event in since.facts.items():
            self.take(event, since.messages[event_id])
        self.resolved += since.resolved

    def with_what_came_since(self, kept: Mapping[UUID, bytes]) -> list[Fact]:
        """All that is told, and what is kept besides: it came after the topics were read."""
        later_events = [
            event
            for event_id, stored_event in kept.items()
            if event_id not in self.facts and (event := readable(stored_event, self.relationship))
        ]
        return [*self.facts.values(), *later_events]

    def to_put_back(self, kept: Mapping[UUID, bytes], erasure: UUID | None) -> tuple[list[Fact], list[Fact]]:
        """The facts that are not kept, and those that are kept otherwise; of the erased only that they are."""
        wanted = {event_id: event for event_id, event in self.facts.items() if erasure in (None, event_id)}
        missing = [event for event_id, event in wanted.items() if event_id not in kept]
        different = [
            event
            for event_id, event in wanted.items()
            if event_id in kept
            and kept[event_id] != self.messages[event_id]
            and readable(kept[event_id], self.relationship) != event
        ]
        return missing, different


class Alliances:
    """The view of alliance, as it is rebuilt; `say` is told of each state that was not as it ought to be."""

    def __init__(
        self, servers: str, store: Store, staging: Shadow, publish: Tell, policies: Policies, history: History, say: Say
    ) -> None:
        self._servers = servers
        self._store = store
        self._shadow = staging
        self._tell = publish
        self._policies = policies
        self._history = history
        self._say = say

    async def read(self, task: Share, done: Done) -> Counts:
        """Put back what is missing, and write beside what ought to be otherwise."""
        versions = Versions(self._servers, task.slice)
        histories = await everything(self._history, task.slice)
        counts: Counts = Counter()
        waiting = pages(histories)
        while batch := list(islice(waiting, SIDE_BY_SIDE)):
            for page_counts in await asyncio.gather(*(self._compare(task, page, versions) for page in batch)):
                counts += page_counts
                done(page_counts[FACTS_READ])
        return counts

    async def swap(self, task: Share, done: Done) -> Counts:
        """Put in place what was written beside, and tell it."""
        counts: Counts = Counter()
        while page := await self._shadow.beside(task.id, SWAPPED_AT_ONCE):
            conflicts = await self._shadow.swap(page)
            await self._tell_of(state for state in page if state.relationship not in conflicts)
            await self._fold_again(
                {state.relationship: state.document["v"] for state in page if state.relationship in conflicts}
            )
            await self._shadow.forget(state.relationship for state in page)
            for state in page:
                counts[STATES_MISSING if state.differs == (MISSING,) else STATES_OTHERWISE] += 1
                if state.differs != (MISSING,):
                    self._say(f"{state.relationship}: {', '.join(state.differs)}")
        return counts

    async def _compare(self, task: Share, page: Mapping[UUID, Known], versions: "Versions") -> Counts:
        # The states first: whoever takes in a fact that we do not see yet writes another version than the one we know.
        current = await self._shadow.states(page)
        stored = await self._shadow.facts(page)
        events = {r: history.with_what_came_since(stored[r]) for r, history in page.items()}
        results = {r: self._fold(own_events) for r, own_events in events.items()}
        repairs = [history.to_put_back(stored[r], results[r].alliance.erasure) for r, history in page.items()]
        missing, different = (
            [event for missing_events, _ in repairs for event in missing_events],
            [event for _, different_events in repairs for event in different_events],
        )
        await self._shadow.put_back(missing, different)
        await self._forget_erased(results, {event.relationship_id for event in (*missing, *different)})
        rebuilt_states = [
            await self._rebuilt(result, r, current.get(r), differences, versions)
            for r, result in results.items()
            if (differences := difference(current.get(r), Kept(r, result)))
        ]
        await self._shadow.write_beside(task.id, rebuilt_states)
        restored_dispositions = await self._judge(page, events, results)
        return Counter(
            {
                RELATIONSHIPS: len(page),
                FACTS_READ: sum(len(history.facts) for history in page.values()),
                FACTS_MISSING: len(missing),
                FACTS_OTHERWISE: len(different),
                JUDGEMENTS_MISSING: restored_dispositions,
            }
        )

    def _fold(self, facts: Sequence[Fact]) -> Read:
        return read_again(facts, self._policies.of(clinic_of(facts)))

    async def _rebuilt(
        self, read: Read, r: UUID, current: Document | None, differences: tuple[str, ...], versions: "Versions"
    ) -> Rebuilt:
        """Its version follows on all that were ever told: who hears of it keeps the highest."""
        version = max(version_of(current), await versions.told_of(r)) + 1
        return self._as(Kept(r, read, version), current, differences)

    def _as(self, kept: Kept, current: Document | None, differences: tuple[str, ...]) -> Rebuilt:
        policy = self._policies.of(kept.alliance.clinic_id)
        return Rebuilt.of(
            kept, current, differences, [*what_follows(kept.relationship, kept.read, kept.version, policy)]
        )

    async def _forget_erased(self, results: Mapping[UUID, Read], repaired: Collection[UUID]) -> None:
        """Keep nothing of who is to be forgotten, also when that was told while their facts were put back."""
        erasures = {r: result.alliance.erasure for r, result in results.items() if result.alliance.erasure}
        current_states = await self._shadow.states(repaired) if repaired else {}
        erasures |= {r: erasure for r, document in current_states.items() if (erasure := erasure_of(document))}
        await self._store.forget(erasures)

    async def _judge(
        self, page: Mapping[UUID, Known], facts: Mapping[UUID, Sequence[Fact]], results: Mapping[UUID, Read]
    ) -> int:
        """Put back what clinicians said of alerts, with the detectors behind them; how much that was."""
        resolved = [
            event for r, history in page.items() if not results[r].alliance.erasure for event in history.resolved
        ]
        if not resolved:
            return 0
        stored_ids = {
            disposition.id
            for disposition in await self._store.judgements({event.relationship_id for event in resolved})
        }
        missing = [event for event in resolved if event.id not in stored_ids]
        return len(
            await self._store.judge(
                [self._judged(event, facts[event.relationship_id], results[event.relationship_id]) for event in missing]
            )
        )

    def _judged(self, event: AlertResolved, facts: Sequence[Fact], read: Read) -> Judgement:
        policy = self._policies.of(read.alliance.clinic_id)
        episode = remembered(read.alliance, event.episode_id) or read_back(facts, event.episode_id, policy)
        return judged(event, episode, read.policy)

    async def _fold_again(self, pending: Mapping[UUID, int]) -> None:
        """Somebody wrote meanwhile, maybe we at a try before: read the facts again until nobody comes between.

        Told also where nothing changed, and under the version that was meant for it, or a higher one.
        """
        while pending:
            current = await self._shadow.states(pending)
            stored = await self._shadow.facts(pending)
            refolded = [
                self._again(r, current.get(r), stored[r], min_version)
                for r, min_version in pending.items()
                if stored[r]
            ]
            conflicts = await self._shadow.swap([state for state in refolded if state.differs])
            await self._tell_of(state for state in refolded if state.relationship not in conflicts)
            pending = {r: min_version for r, min_version in pending.items() if r in conflicts}

    def _again(self, r: UUID, current: Document | None, kept: Mapping[UUID, bytes], min_version: int) -> Rebuilt:
        result = self._fold([event for stored_event in kept.values() if (event := readable(stored_event, r))])
        version = version_of(current)
        differences = difference(current, Kept(r, result)) or (("version",) if version < min_version else ())
        return self._as(
            Kept(r, result, max(version + 1, min_version) if differences else version), current, differences
        )

    async def _tell_of(self, rebuilt_states: Iterable[Rebuilt]) -> None:
        derived_events = [decode(event, _KINDS) for state in rebuilt_states for event in state.news]
        await self._tell([event for event in derived_events if event is not None])


class Versions:
    """The highest version that was ever told of each relationship; read only once somebody asks."""

    def __init__(self, servers: str, partition_slice: Slice) -> None:
        self._servers = servers
        self._slice = partition_slice
        self._told: dict[UUID, int] | None = None
        self._reading = asyncio.Lock()

    async def told_of(self, relationship: UUID) -> int:
        """0 where nothing was told. Raises BrokerUnavailable."""
        async with self._reading:
            if self._told is None:
                self._told = await self._read()
        return self._told.get(relationship, 0)

    async def _read(self) -> dict[UUID, int]:
        versions: dict[UUID, int] = {}
        async with History(self._servers, (ALLIANCE,), (AllianceUpdated,)) as topic_reader:
            async for batch in topic_reader.read(self._slice, {}):
                for record in batch:
                    event = cast("AllianceUpdated", record.event)
                    versions[event.relationship_id] = max(event.version, versions.get(event.relationship_id, 0))
        return versions


async def everything(history: History, partition_slice: Slice, offsets: Positions | None = None) -> dict[UUID, Known]:
    """What the topics say of each relationship; with `positions`, what they say since."""
    histories: dict[UUID, Known] = {}
    async for batch in history.read(partition_slice, {} if offsets is None else offsets):
        for record in batch:
            event = cast("Fact | AlertResolved", record.event)
            r = event.relationship_id
            if r not in histories:
                histories[r] = Known(r)
            histories[r].take(event, record.message)
    return histories


def pages(known: Mapping[UUID, Known]) -> Iterator[dict[UUID, Known]]:
    """A few thousand facts at a time."""
    page: dict[UUID, Known] = {}
    event_count = 0
    for relationship, history in known.items():
        page[relationship] = history
        event_count += len(history.facts)
        if event_count >= PAGE_OF_FACTS:
            yield page
            page, event_count = {}, 0
    if page:
        yield page
