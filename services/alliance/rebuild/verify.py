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
        self, servers: str, group: str, store: Store, staging: Shadow, policies: Policies, history: History, say: Say
    ) -> None:
        self._servers = servers
        self._group = group
        self._store = store
        self._shadow = staging
        self._policies = policies
        self._history = history
        self._say = say
        self._found = Verified()

    async def __call__(self, report_progress: Progress) -> Verified:
        """Compare everything. Raises StoreUnavailable and BrokerUnavailable."""
        message_counts = await self._history.sizes()
        read_messages, seen, read_slices = 0, set[UUID](), list[tuple[Slice, Positions]]()
        report_progress(read_messages, sum(message_counts))
        for partition_slice, message_count in cut(message_counts):
            offsets: Positions = {}
            histories = await everything(self._history, partition_slice, offsets)
            suspects: dict[UUID, Known] = {}
            compared_messages = read_messages
            for page in pages(histories):
                suspects |= {r: histories[r] for r in await self._suspects(page)}
                compared_messages += sum(len(history.facts) for history in page.values())
                report_progress(min(compared_messages, read_messages + message_count), sum(message_counts))
            await self._look_again(partition_slice, offsets, suspects)
            seen |= histories.keys()
            read_slices.append((partition_slice, offsets))
            read_messages += message_count
        report_progress(sum(message_counts), sum(message_counts))
        self._found.compared = len(seen)
        await self._look_for_others(seen, read_slices)
        return self._found

    async def _suspects(self, page: Mapping[UUID, Known]) -> list[UUID]:
        current = await self._there(page)
        differences_by_relationship = {r: [*self._differences(r, history, current[r])] for r, history in page.items()}
        return [r for r, differences in differences_by_relationship.items() if differences]

    async def _look_again(self, partition_slice: Slice, offsets: Positions, suspects: dict[UUID, Known]) -> None:
        """Until each stands still: no fact came to it while we looked, and the service had taken in all before."""
        deadline = time.monotonic() + PATIENCE
        while suspects:
            remaining_seconds = deadline - time.monotonic()
            if not await until_taken_in(
                self._servers, self._group, partition_slice.partition, offsets, remaining_seconds
            ):
                self._found.on_its_way += len(suspects)
                return
            current = await self._there(suspects)
            later = await everything(self._history, partition_slice, offsets)
            for r in suspects.keys() - later.keys():
                self._report(r, [*self._differences(r, suspects.pop(r), current[r])])
            for r, history in suspects.items():
                history.add(later[r])

    async def _look_for_others(self, seen: set[UUID], read: Sequence[tuple[Slice, Positions]]) -> None:
        """Relationships that are kept, and that the topics know nothing of."""
        unexpected: set[UUID] = set()
        after: UUID | None = None
        while page := await self._store.page(None, after, PAGE):
            after = page[-1]
            unexpected |= set(page) - seen
        if unexpected:
            for partition_slice, offsets in read:
                unexpected -= (await everything(self._history, partition_slice, offsets)).keys()
        for r in sorted(unexpected):
            self._report(r, ["not on the topics"])

    async def _there(self, relationships: Mapping[UUID, Known]) -> dict[UUID, There]:
        # The states first: what a state holds is then among the facts that we see.
        states = await self._shadow.states(relationships)
        events = await self._shadow.facts(relationships)
        with_dispositions = [r for r, history in relationships.items() if history.resolved]
        disposition_ids = (
            frozenset(disposition.id for disposition in await self._store.judgements(with_dispositions))
            if with_dispositions
            else frozenset[UUID]()
        )
        return {r: There(states.get(r), events[r], disposition_ids) for r in relationships}

    def _differences(self, r: UUID, known: Known, current: There) -> Iterator[str]:
        events = list(known.facts.values())
        expected = self._fold(r, events)
        erasure = expected.alliance.erasure
        missing, different = known.to_put_back(current.facts, erasure)
        unexpected = [event_id for event_id in current.facts if event_id not in known.facts]
        if erasure is None and current.state is not None and current.state.get("policy") != expected.read.policy:
            self._found.other_policy.add(r)
        elif events:
            yield from self._in_state(expected, events, current, unexpected)
        if missing:
            yield f"{len(missing)} facts missing"
        if different:
            yield f"{len(different)} facts otherwise"
        if unexpected:
            yield f"{len(unexpected)} facts not on the topics"
        if erasure is not None and (
            unerased := [event_id for event_id in current.facts if event_id in known.facts and event_id != erasure]
        ):
            yield f"{len(unerased)} facts not forgotten"
        if erasure is None and (missing_dispositions := {event.id for event in known.resolved} - current.judged):
            yield f"{len(missing_dispositions)} judgements missing"

    def _in_state(
        self, expected: Kept, facts: Sequence[Fact], current: There, unexpected: Sequence[UUID]
    ) -> tuple[str, ...]:
        """Against what the topics say; facts that only the database knows may be in it or not."""
        differences = difference(current.state, expected)
        if differences and unexpected:
            unexpected_events = [
                event for event_id in unexpected if (event := readable(current.facts[event_id], expected.relationship))
            ]
            return (
                difference(current.state, self._fold(expected.relationship, [*facts, *unexpected_events]))
                and differences
            )
        return differences

    def _fold(self, r: UUID, facts: Sequence[Fact]) -> Kept:
        return Kept(r, read_again(facts, self._policies.of(clinic_of(facts))))

    def _report(self, relationship: UUID, differences: Sequence[str]) -> None:
        if differences:
            self._found.different += 1
            self._say(f"{relationship}: {', '.join(differences)}")
