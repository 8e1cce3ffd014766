"""Seeing whether the view of alliance is what the topics say, while the service runs; nothing is written.

What differs at first sight may only be on its way. So it is looked at again, once the service has committed all that
lay on the topics, until it stands still: a difference that is reported is one.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from services.alliance.domain.fold import refold
from services.alliance.domain.policy.policy import Policies
from services.alliance.domain.state.history import HistoryEvent, clinic_of
from services.alliance.rebuild.rebuild import RecordedHistory, paginate, read_topics
from services.alliance.rebuild.staging import Staging, decode_stored, find_differences
from services.alliance.store.mongo import Store, Versioned
from shared.kafka.topic_reader import Offsets, PartitionSlice, TopicReader, wait_until_caught_up
from shared.mongo.client import Document
from shared.rebuild.job import slice_partitions

CATCH_UP_TIMEOUT_SECONDS = 30.0
"""Seconds for the service to take in what lies on the topics; what is still on its way then is not compared."""
PAGE_SIZE = 5_000

ReportProgress = Callable[[int, int], None]
"""Told how many messages were compared, of how many."""
Report = Callable[[str], None]


@dataclass(slots=True)
class VerifyResult:
    """What came out of it, in relationships."""

    compared: int = 0
    different: int = 0
    not_caught_up: int = 0
    """With facts that the service has not taken in yet."""
    under_other_policy: set[UUID] = field(default_factory=set)
    """Last read under another policy than the one in force, so that their state cannot be compared."""


@dataclass(frozen=True, slots=True)
class CurrentView:
    """What the database holds of one relationship."""

    state: Document | None
    events: Mapping[UUID, bytes]
    disposition_ids: frozenset[UUID]


class Verifier:
    """Compares the view with the topics; `say` is told of each difference by its names, never of what anybody said."""

    def __init__(
        self,
        servers: str,
        group: str,
        store: Store,
        staging: Staging,
        policies: Policies,
        topic_reader: TopicReader,
        report: Report,
    ) -> None:
        self._servers = servers
        self._group = group
        self._store = store
        self._staging = staging
        self._policies = policies
        self._topic_reader = topic_reader
        self._say = report
        self._result = VerifyResult()

    async def __call__(self, report_progress: ReportProgress) -> VerifyResult:
        """Compare everything. Raises StoreUnavailable and BrokerUnavailable."""
        message_counts = await self._topic_reader.message_counts()
        read_messages, seen, read_slices = 0, set[UUID](), list[tuple[PartitionSlice, Offsets]]()
        report_progress(read_messages, sum(message_counts))
        for partition_slice, message_count in slice_partitions(message_counts):
            offsets: Offsets = {}
            histories = await read_topics(self._topic_reader, partition_slice, offsets)
            suspects: dict[UUID, RecordedHistory] = {}
            compared_messages = read_messages
            for page in paginate(histories):
                suspects |= {r: histories[r] for r in await self._find_suspects(page)}
                compared_messages += sum(len(history.events) for history in page.values())
                report_progress(min(compared_messages, read_messages + message_count), sum(message_counts))
            await self._recheck(partition_slice, offsets, suspects)
            seen |= histories.keys()
            read_slices.append((partition_slice, offsets))
            read_messages += message_count
        report_progress(sum(message_counts), sum(message_counts))
        self._result.compared = len(seen)
        await self._find_unexpected(seen, read_slices)
        return self._result

    async def _find_suspects(self, page: Mapping[UUID, RecordedHistory]) -> list[UUID]:
        current = await self._load_current(page)
        differences_by_relationship = {
            r: [*self._find_differences(r, history, current[r])] for r, history in page.items()
        }
        return [r for r, differences in differences_by_relationship.items() if differences]

    async def _recheck(
        self, partition_slice: PartitionSlice, offsets: Offsets, suspects: dict[UUID, RecordedHistory]
    ) -> None:
        """Until each stands still: no fact came to it while we looked, and the service had taken in all before."""
        deadline = time.monotonic() + CATCH_UP_TIMEOUT_SECONDS
        while suspects:
            remaining_seconds = deadline - time.monotonic()
            if not await wait_until_caught_up(
                self._servers, self._group, partition_slice.partition, offsets, remaining_seconds
            ):
                self._result.not_caught_up += len(suspects)
                return
            current = await self._load_current(suspects)
            later = await read_topics(self._topic_reader, partition_slice, offsets)
            for r in suspects.keys() - later.keys():
                self._report_differences(r, [*self._find_differences(r, suspects.pop(r), current[r])])
            for r, history in suspects.items():
                history.merge(later[r])

    async def _find_unexpected(self, seen: set[UUID], read_slices: Sequence[tuple[PartitionSlice, Offsets]]) -> None:
        """Relationships that are kept, and that the topics know nothing of."""
        unexpected: set[UUID] = set()
        after: UUID | None = None
        while page := await self._store.page(None, after, PAGE_SIZE):
            after = page[-1]
            unexpected |= set(page) - seen
        if unexpected:
            for partition_slice, offsets in read_slices:
                unexpected -= (await read_topics(self._topic_reader, partition_slice, offsets)).keys()
        for r in sorted(unexpected):
            self._report_differences(r, ["not on the topics"])

    async def _load_current(self, relationships: Mapping[UUID, RecordedHistory]) -> dict[UUID, CurrentView]:
        # The states first: what a state holds is then among the facts that we see.
        states = await self._staging.states(relationships)
        events = await self._staging.events(relationships)
        with_dispositions = [r for r, history in relationships.items() if history.resolved]
        disposition_ids = (
            frozenset(disposition.id for disposition in await self._store.dispositions(with_dispositions))
            if with_dispositions
            else frozenset[UUID]()
        )
        return {r: CurrentView(states.get(r), events[r], disposition_ids) for r in relationships}

    def _find_differences(self, r: UUID, history: RecordedHistory, current: CurrentView) -> Iterator[str]:
        events = list(history.events.values())
        expected = self._refold(r, events)
        erasure = expected.alliance.erasure_id
        missing, different = history.find_missing_and_different(current.events, erasure)
        unexpected = [event_id for event_id in current.events if event_id not in history.events]
        if (
            erasure is None
            and current.state is not None
            and current.state.get("policy") != expected.result.policy_digest
        ):
            self._result.under_other_policy.add(r)
        elif events:
            yield from self._find_state_differences(expected, events, current, unexpected)
        if missing:
            yield f"{len(missing)} facts missing"
        if different:
            yield f"{len(different)} facts otherwise"
        if unexpected:
            yield f"{len(unexpected)} facts not on the topics"
        if erasure is not None and (
            unerased := [event_id for event_id in current.events if event_id in history.events and event_id != erasure]
        ):
            yield f"{len(unerased)} facts not forgotten"
        if erasure is None and (
            missing_dispositions := {event.id for event in history.resolved} - current.disposition_ids
        ):
            yield f"{len(missing_dispositions)} judgements missing"

    def _find_state_differences(
        self, expected: Versioned, events: Sequence[HistoryEvent], current: CurrentView, unexpected: Sequence[UUID]
    ) -> tuple[str, ...]:
        """Against what the topics say; facts that only the database knows may be in it or not."""
        differences = find_differences(current.state, expected)
        if differences and unexpected:
            unexpected_events = [
                event
                for event_id in unexpected
                if (event := decode_stored(current.events[event_id], expected.relationship))
            ]
            return (
                find_differences(current.state, self._refold(expected.relationship, [*events, *unexpected_events]))
                and differences
            )
        return differences

    def _refold(self, r: UUID, events: Sequence[HistoryEvent]) -> Versioned:
        return Versioned(r, refold(events, self._policies.policy_for(clinic_of(events))))

    def _report_differences(self, relationship: UUID, differences: Sequence[str]) -> None:
        if differences:
            self._result.different += 1
            self._say(f"{relationship}: {', '.join(differences)}")
