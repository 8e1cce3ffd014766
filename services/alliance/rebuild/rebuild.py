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

from services.alliance.domain.derived_events import derive_events
from services.alliance.domain.fold import FoldResult, refold
from services.alliance.domain.policy.policy import Policies
from services.alliance.domain.state.history import HISTORY_EVENTS, HistoryEvent, clinic_of
from services.alliance.domain.tuning.dispositions import (
    Disposition,
    create_disposition,
    find_current_episode,
    find_past_episode,
)
from services.alliance.rebuild.staging import (
    MISSING,
    RebuiltState,
    Staging,
    decode_stored,
    erasure_of,
    find_differences,
    version_of,
)
from services.alliance.store.mongo import Store, Versioned
from shared.events import EVENT_TYPES, AlertResolved, AllianceUpdated, Event, by_type
from shared.events.cloudevents import decode
from shared.events.topics import ALERTS, ALLIANCE, FEEDBACK, INTAKE, SESSIONS
from shared.kafka.topic_reader import Offsets, PartitionSlice, TopicReader
from shared.mongo.client import Document
from shared.rebuild.job import Advance, Counts, RebuildTask

CONSUMED_TOPICS = (INTAKE, SESSIONS, FEEDBACK, ALERTS)
CONSUMED_EVENTS: tuple[type[Event], ...] = (*HISTORY_EVENTS, AlertResolved)
PAGE_SIZE_EVENTS = 2_000
"""Facts that are compared with the database at once; more where a single relationship has more."""
CONCURRENT_PAGES = 2
"""Pages: while the database works on one, we fold the other."""
SWAP_BATCH_SIZE = 500

# What is counted, as it is said at the end.
RELATIONSHIPS_READ, EVENTS_READ = "relationships read", "facts read"
EVENTS_RESTORED, EVENTS_CORRECTED = "facts put back", "facts put right"
DISPOSITIONS_RESTORED = "judgements put back"
STATES_RESTORED, STATES_CORRECTED = "states put back", "states put right"

_EVENT_TYPES = by_type(EVENT_TYPES)

Publish = Callable[[Sequence[Event]], Awaitable[None]]
Report = Callable[[str], None]


@dataclass(slots=True)
class RecordedHistory:
    """What the topics say of one relationship."""

    relationship: UUID
    events: dict[UUID, HistoryEvent] = field(default_factory=dict)
    messages: dict[UUID, bytes] = field(default_factory=dict)
    resolved: list[AlertResolved] = field(default_factory=list)

    def add_message(self, event: HistoryEvent | AlertResolved, message: bytes) -> None:
        """Each fact as it was told first."""
        if isinstance(event, AlertResolved):
            self.resolved.append(event)
        elif event.id not in self.events:
            self.events[event.id] = event
            self.messages[event.id] = message

    def merge(self, later: "RecordedHistory") -> None:
        """What was told later."""
        for event_id, event in later.events.items():
            self.add_message(event, later.messages[event_id])
        self.resolved += later.resolved

    def with_stored_events(self, stored: Mapping[UUID, bytes]) -> list[HistoryEvent]:
        """All that is told, and what is kept besides: it came after the topics were read."""
        later_events = [
            event
            for event_id, stored_event in stored.items()
            if event_id not in self.events and (event := decode_stored(stored_event, self.relationship))
        ]
        return [*self.events.values(), *later_events]

    def find_missing_and_different(
        self, stored: Mapping[UUID, bytes], erasure: UUID | None
    ) -> tuple[list[HistoryEvent], list[HistoryEvent]]:
        """The facts that are not kept, and those that are kept otherwise; of the erased only that they are."""
        wanted = {event_id: event for event_id, event in self.events.items() if erasure in (None, event_id)}
        missing = [event for event_id, event in wanted.items() if event_id not in stored]
        different = [
            event
            for event_id, event in wanted.items()
            if event_id in stored
            and stored[event_id] != self.messages[event_id]
            and decode_stored(stored[event_id], self.relationship) != event
        ]
        return missing, different


class AllianceRebuilder:
    """The view of alliance, as it is rebuilt; `say` is told of each state that was not as it ought to be."""

    def __init__(
        self,
        servers: str,
        store: Store,
        staging: Staging,
        publish: Publish,
        policies: Policies,
        topic_reader: TopicReader,
        report: Report,
    ) -> None:
        self._servers = servers
        self._store = store
        self._staging = staging
        self._publish = publish
        self._policies = policies
        self._topic_reader = topic_reader
        self._report = report

    async def stage(self, task: RebuildTask, advance: Advance) -> Counts:
        """Put back what is missing, and write beside what ought to be otherwise."""
        versions = PublishedVersions(self._servers, task.partition_slice)
        histories = await read_topics(self._topic_reader, task.partition_slice)
        counts: Counts = Counter()
        pages = paginate(histories)
        while batch := list(islice(pages, CONCURRENT_PAGES)):
            for page_counts in await asyncio.gather(*(self._compare_page(task, page, versions) for page in batch)):
                counts += page_counts
                advance(page_counts[EVENTS_READ])
        return counts

    async def swap(self, task: RebuildTask, advance: Advance) -> Counts:
        """Put in place what was written beside, and tell it."""
        counts: Counts = Counter()
        while page := await self._staging.staged(task.id, SWAP_BATCH_SIZE):
            conflicts = await self._staging.swap(page)
            await self._publish_derived(state for state in page if state.relationship not in conflicts)
            await self._refold_conflicts(
                {state.relationship: state.document["v"] for state in page if state.relationship in conflicts}
            )
            await self._staging.delete(state.relationship for state in page)
            for state in page:
                counts[STATES_RESTORED if state.differences == (MISSING,) else STATES_CORRECTED] += 1
                if state.differences != (MISSING,):
                    self._report(f"{state.relationship}: {', '.join(state.differences)}")
        return counts

    async def _compare_page(
        self, task: RebuildTask, page: Mapping[UUID, RecordedHistory], versions: "PublishedVersions"
    ) -> Counts:
        # The states first: whoever takes in a fact that we do not see yet writes another version than the one we know.
        current = await self._staging.states(page)
        stored = await self._staging.events(page)
        events = {r: history.with_stored_events(stored[r]) for r, history in page.items()}
        results = {r: self._refold(own_events) for r, own_events in events.items()}
        repairs = [
            history.find_missing_and_different(stored[r], results[r].alliance.erasure_id) for r, history in page.items()
        ]
        missing, different = (
            [event for missing_events, _ in repairs for event in missing_events],
            [event for _, different_events in repairs for event in different_events],
        )
        await self._staging.restore_events(missing, different)
        await self._erase(results, {event.relationship_id for event in (*missing, *different)})
        rebuilt_states = [
            await self._rebuild_state(result, r, current.get(r), differences, versions)
            for r, result in results.items()
            if (differences := find_differences(current.get(r), Versioned(r, result)))
        ]
        await self._staging.stage(task.id, rebuilt_states)
        restored_dispositions = await self._restore_dispositions(page, events, results)
        return Counter(
            {
                RELATIONSHIPS_READ: len(page),
                EVENTS_READ: sum(len(history.events) for history in page.values()),
                EVENTS_RESTORED: len(missing),
                EVENTS_CORRECTED: len(different),
                DISPOSITIONS_RESTORED: restored_dispositions,
            }
        )

    def _refold(self, events: Sequence[HistoryEvent]) -> FoldResult:
        return refold(events, self._policies.policy_for(clinic_of(events)))

    async def _rebuild_state(
        self,
        result: FoldResult,
        r: UUID,
        current: Document | None,
        differences: tuple[str, ...],
        versions: "PublishedVersions",
    ) -> RebuiltState:
        """Its version follows on all that were ever told: who hears of it keeps the highest."""
        version = max(version_of(current), await versions.highest(r)) + 1
        return self._to_rebuilt_state(Versioned(r, result, version), current, differences)

    def _to_rebuilt_state(
        self, state: Versioned, current: Document | None, differences: tuple[str, ...]
    ) -> RebuiltState:
        policy = self._policies.policy_for(state.alliance.clinic_id)
        return RebuiltState.from_versioned(
            state, current, differences, [*derive_events(state.relationship, state.result, state.version, policy)]
        )

    async def _erase(self, results: Mapping[UUID, FoldResult], repaired: Collection[UUID]) -> None:
        """Keep nothing of who is to be forgotten, also when that was told while their facts were put back."""
        erasures = {r: result.alliance.erasure_id for r, result in results.items() if result.alliance.erasure_id}
        current_states = await self._staging.states(repaired) if repaired else {}
        erasures |= {r: erasure for r, document in current_states.items() if (erasure := erasure_of(document))}
        await self._store.erase(erasures)

    async def _restore_dispositions(
        self,
        page: Mapping[UUID, RecordedHistory],
        events: Mapping[UUID, Sequence[HistoryEvent]],
        results: Mapping[UUID, FoldResult],
    ) -> int:
        """Put back what clinicians said of alerts, with the detectors behind them; how much that was."""
        resolved = [
            event for r, history in page.items() if not results[r].alliance.erasure_id for event in history.resolved
        ]
        if not resolved:
            return 0
        stored_ids = {
            disposition.id
            for disposition in await self._store.dispositions({event.relationship_id for event in resolved})
        }
        missing = [event for event in resolved if event.id not in stored_ids]
        return len(
            await self._store.record_dispositions(
                [
                    self._create_disposition(event, events[event.relationship_id], results[event.relationship_id])
                    for event in missing
                ]
            )
        )

    def _create_disposition(
        self, event: AlertResolved, events: Sequence[HistoryEvent], result: FoldResult
    ) -> Disposition:
        policy = self._policies.policy_for(result.alliance.clinic_id)
        episode = find_current_episode(result.alliance, event.episode_id) or find_past_episode(
            events, event.episode_id, policy
        )
        return create_disposition(event, episode, result.policy_digest)

    async def _refold_conflicts(self, pending: Mapping[UUID, int]) -> None:
        """Somebody wrote meanwhile, maybe we at a try before: read the facts again until nobody comes between.

        Told also where nothing changed, and under the version that was meant for it, or a higher one.
        """
        while pending:
            current = await self._staging.states(pending)
            stored = await self._staging.events(pending)
            refolded = [
                self._refold_stored(r, current.get(r), stored[r], min_version)
                for r, min_version in pending.items()
                if stored[r]
            ]
            conflicts = await self._staging.swap([state for state in refolded if state.differences])
            await self._publish_derived(state for state in refolded if state.relationship not in conflicts)
            pending = {r: min_version for r, min_version in pending.items() if r in conflicts}

    def _refold_stored(
        self, r: UUID, current: Document | None, stored: Mapping[UUID, bytes], min_version: int
    ) -> RebuiltState:
        result = self._refold([event for stored_event in stored.values() if (event := decode_stored(stored_event, r))])
        version = version_of(current)
        differences = find_differences(current, Versioned(r, result)) or (("version",) if version < min_version else ())
        return self._to_rebuilt_state(
            Versioned(r, result, max(version + 1, min_version) if differences else version), current, differences
        )

    async def _publish_derived(self, rebuilt_states: Iterable[RebuiltState]) -> None:
        derived_events = [decode(event, _EVENT_TYPES) for state in rebuilt_states for event in state.derived_events]
        await self._publish([event for event in derived_events if event is not None])


class PublishedVersions:
    """The highest version that was ever told of each relationship; read only once somebody asks."""

    def __init__(self, servers: str, partition_slice: PartitionSlice) -> None:
        self._servers = servers
        self._partition_slice = partition_slice
        self._versions: dict[UUID, int] | None = None
        self._read_lock = asyncio.Lock()

    async def highest(self, relationship: UUID) -> int:
        """0 where nothing was told. Raises BrokerUnavailable."""
        async with self._read_lock:
            if self._versions is None:
                self._versions = await self._read_topic()
        return self._versions.get(relationship, 0)

    async def _read_topic(self) -> dict[UUID, int]:
        versions: dict[UUID, int] = {}
        async with TopicReader(self._servers, (ALLIANCE,), (AllianceUpdated,)) as topic_reader:
            async for batch in topic_reader.read(self._partition_slice, {}):
                for record in batch:
                    event = cast("AllianceUpdated", record.event)
                    versions[event.relationship_id] = max(event.version, versions.get(event.relationship_id, 0))
        return versions


async def read_topics(
    topic_reader: TopicReader, partition_slice: PartitionSlice, offsets: Offsets | None = None
) -> dict[UUID, RecordedHistory]:
    """What the topics say of each relationship; with `positions`, what they say since."""
    histories: dict[UUID, RecordedHistory] = {}
    async for batch in topic_reader.read(partition_slice, {} if offsets is None else offsets):
        for record in batch:
            event = cast("HistoryEvent | AlertResolved", record.event)
            r = event.relationship_id
            if r not in histories:
                histories[r] = RecordedHistory(r)
            histories[r].add_message(event, record.message)
    return histories


def paginate(histories: Mapping[UUID, RecordedHistory]) -> Iterator[dict[UUID, RecordedHistory]]:
    """A few thousand facts at a time."""
    page: dict[UUID, RecordedHistory] = {}
    event_count = 0
    for relationship, history in histories.items():
        page[relationship] = history
        event_count += len(history.events)
        if event_count >= PAGE_SIZE_EVENTS:
            yield page
            page, event_count = {}, 0
    if page:
        yield page
