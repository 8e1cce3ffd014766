"""The view of alliance: the stored events, the state folded from them, the dispositions of alerts, and the staff.

Missing events are restored at once, because an event that is stored twice counts once. A state that differs is staged
with the version it replaces. On a conflict with the service it is folded again from the stored events, which are
complete by then.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from services.alliance.domain.derived_events import derive_events
from services.alliance.domain.fold import FoldResult, refold
from services.alliance.domain.policy.policy import Policies
from services.alliance.domain.retrospect import mark_rebuilt
from services.alliance.domain.state.history import HistoryEvent, clinic_of
from services.alliance.domain.tuning.dispositions import (
    Disposition,
    create_disposition,
    create_reopening,
    find_current_episode,
    find_past_episode,
)
from services.alliance.rebuild.comparison import Comparison, CurrentView
from services.alliance.rebuild.published_versions import PublishedVersions
from services.alliance.rebuild.recorded_history import RecordedHistory, decode_stored
from services.alliance.rebuild.stored_view import (
    RebuiltState,
    StoredView,
    compare_state,
    find_erasures,
    version_of,
)
from services.alliance.store.mongo import MongoStore, from_document
from services.alliance.store.protocol import VersionedState
from shared.events import EVENT_TYPES, AlertResolved, by_type
from shared.events.cloudevents import decode
from shared.kafka.event_reader import PartitionSlice
from shared.mongo.client import Document, Mongo
from shared.rebuild.history import History, PageSize, SliceReader
from shared.rebuild.projection import about_relationships
from shared.rebuild.view import RELATIONSHIPS_READ, Counts, Difference, Publish, StagedDocument, View, merge_pages
from shared.staff.rebuild import STAFF_CORRECTED, StaffDocuments

EVENTS_READ, EVENTS_RESTORED, EVENTS_CORRECTED = "events read", "events restored", "events corrected"
DISPOSITIONS_RESTORED = "dispositions restored"

_EVENT_TYPES = by_type(EVENT_TYPES)


class AllianceView(View):
    """Everything that alliance derives from the topics, under the policies in force."""

    subjects = "relationships and clinics"
    page_size = PageSize(documents=2_000, events=2_000)

    def __init__(self, servers: str, policies: Policies, mongo: Mongo, publish: Publish) -> None:
        self.policy = policies.digest
        self._servers = servers
        self._policies = policies
        self._store = MongoStore(mongo)
        self._stored_view = StoredView(mongo)
        self._staff = StaffDocuments(mongo)
        self._publish = publish
        self._published_versions: PublishedVersions | None = None
        self._under_other_policy: set[UUID] = set()

    async def create_indexes(self) -> None:
        await self._store.create_indexes()

    async def find_differences(self, histories: Mapping[UUID, History]) -> list[Difference]:
        wrong_staff = await self._staff.find_differences(histories)
        recorded = _histories_of_relationships(histories)
        current = await self._load_current(recorded)
        comparisons = {r: Comparison(recorded[r], current[r], self._policies) for r in recorded}
        self._under_other_policy |= {r for r, comparison in comparisons.items() if comparison.is_under_other_policy}
        differences = [Difference(r, tuple(comparison.list_names())) for r, comparison in comparisons.items()]
        return [*wrong_staff, *(difference for difference in differences if difference.names)]

    async def list_ids(self, after: UUID | None, limit: int) -> list[UUID]:
        states = await self._store.page(None, after, limit)
        of_events = await self._stored_view.list_event_relationships(after, limit)
        return merge_pages(limit, states, of_events, await self._staff.list_ids(after, limit))

    def list_remarks(self) -> Sequence[str]:
        if not self._under_other_policy:
            return ()
        return (
            f"{len(self._under_other_policy)} compared without their state: it was computed under a policy that is no "
            "longer in force",
        )

    async def stage(
        self, slice_reader: SliceReader, page: Mapping[UUID, History]
    ) -> tuple[Sequence[StagedDocument], Counts]:
        staff_corrected = await self._staff.correct(slice_reader, page)
        recorded = _histories_of_relationships(page)
        # The states first: if the service then stores an event that we do not see, it also writes another version.
        current = await self._stored_view.load_states(recorded)
        stored = await self._stored_view.load_events(recorded)
        events = {r: history.with_stored_events(stored[r]) for r, history in recorded.items()}
        results = {r: self._refold(own_events) for r, own_events in events.items()}
        restored = await self._restore_events(recorded, stored, results)
        documents = [
            (await self._rebuild_state(slice_reader.partition_slice, r, result, current.get(r), names)).to_staged()
            for r, result in results.items()
            if (names := compare_state(current.get(r), VersionedState(r, result)))
        ]
        restored[DISPOSITIONS_RESTORED] = await self._restore_dispositions(recorded, events, results)
        restored[STAFF_CORRECTED] = staff_corrected
        restored[RELATIONSHIPS_READ] = len(recorded)
        restored[EVENTS_READ] = sum(len(history.events) for history in recorded.values())
        return documents, restored

    async def swap(self, partition_slice: PartitionSlice, documents: Sequence[StagedDocument]) -> None:
        states = [RebuiltState.from_staged(document) for document in documents]
        conflicts = await self._stored_view.swap(states)
        await self._publish_derived(state for state in states if state.relationship not in conflicts)
        await self._refold_conflicts(
            {state.relationship: state.document["v"] for state in states if state.relationship in conflicts}
        )

    async def _load_current(self, recorded: Mapping[UUID, RecordedHistory]) -> dict[UUID, CurrentView]:
        # The states first: every event that a state contains is then among the events.
        states = await self._stored_view.load_states(recorded)
        events = await self._stored_view.load_events(recorded)
        disposition_ids = await self._load_disposition_ids(r for r, history in recorded.items() if history.resolved)
        reopening_ids = await self._load_reopening_ids(r for r, history in recorded.items() if history.reopened)
        return {r: CurrentView(states.get(r), events[r], disposition_ids, reopening_ids) for r in recorded}

    async def _load_disposition_ids(self, relationships: Iterable[UUID]) -> frozenset[UUID]:
        ids = set(relationships)
        return frozenset(each.id for each in await self._store.dispositions(ids)) if ids else frozenset()

    async def _load_reopening_ids(self, relationships: Iterable[UUID]) -> frozenset[UUID]:
        ids = set(relationships)
        return frozenset(each.id for each in await self._store.reopenings(ids)) if ids else frozenset()

    def _refold(self, events: Sequence[HistoryEvent]) -> FoldResult:
        return refold(events, self._policies.policy_for(clinic_of(events)))

    async def _restore_events(
        self,
        recorded: Mapping[UUID, RecordedHistory],
        stored: Mapping[UUID, Mapping[UUID, bytes]],
        results: Mapping[UUID, FoldResult],
    ) -> Counts:
        missing: list[HistoryEvent] = []
        different: list[HistoryEvent] = []
        for r, history in recorded.items():
            own_missing, own_different = history.find_missing_and_different(stored[r], results[r].alliance.erasure_id)
            missing += own_missing
            different += own_different
        await self._stored_view.restore_events(missing, different)
        await self._erase(results, {event.relationship_id for event in (*missing, *different)})
        return Counter({EVENTS_RESTORED: len(missing), EVENTS_CORRECTED: len(different)})

    async def _erase(self, results: Mapping[UUID, FoldResult], restored: Collection[UUID]) -> None:
        """Erase what belongs to erased clients, also if a client was erased while events were restored."""
        erasures = {r: result.alliance.erasure_id for r, result in results.items() if result.alliance.erasure_id}
        if restored:
            erasures |= find_erasures(await self._stored_view.load_states(restored))
        await self._store.erase(erasures)

    async def _rebuild_state(
        self,
        partition_slice: PartitionSlice,
        r: UUID,
        result: FoldResult,
        current: Document | None,
        names: tuple[str, ...],
    ) -> RebuiltState:
        """The version follows the highest that was ever published, because consumers ignore every lower one."""
        if self._published_versions is None or self._published_versions.partition_slice != partition_slice:
            self._published_versions = PublishedVersions(self._servers, partition_slice)
        version = max(version_of(current), await self._published_versions.highest(r)) + 1
        return self._to_rebuilt_state(VersionedState(r, mark_rebuilt(result), version), current, names)

    def _to_rebuilt_state(
        self, state: VersionedState, current: Document | None, names: tuple[str, ...]
    ) -> RebuiltState:
        policy = self._policies.policy_for(state.alliance.clinic_id)
        derived_events = [*derive_events(state.relationship, state.result, state.version, policy)]
        return RebuiltState.from_versioned(state, current, names, derived_events)

    async def _restore_dispositions(
        self,
        recorded: Mapping[UUID, RecordedHistory],
        events: Mapping[UUID, Sequence[HistoryEvent]],
        results: Mapping[UUID, FoldResult],
    ) -> int:
        """Restore the dispositions that are missing, with the detectors of their alerts; return how many.

        So are the reopenings, which take dispositions back.
        """
        reopened = [
            e for r, history in recorded.items() if not results[r].alliance.erasure_id for e in history.reopened
        ]
        restored = await self._store.record_reopenings([create_reopening(e) for e in reopened]) if reopened else []
        resolved = [
            event for r, history in recorded.items() if not results[r].alliance.erasure_id for event in history.resolved
        ]
        stored_ids = await self._load_disposition_ids(event.relationship_id for event in resolved)
        missing = [
            self._create_disposition(event, events[event.relationship_id], results[event.relationship_id])
            for event in resolved
            if event.id not in stored_ids
        ]
        return len(restored) + (len(await self._store.record_dispositions(missing)) if missing else 0)

    def _create_disposition(
        self, event: AlertResolved, events: Sequence[HistoryEvent], result: FoldResult
    ) -> Disposition:
        policy = self._policies.policy_for(result.alliance.clinic_id)
        episode = find_current_episode(result.alliance, event.episode_id) or find_past_episode(
            events, event.episode_id, policy
        )
        return create_disposition(event, episode, result.policy_digest)

    async def _refold_conflicts(self, pending: Mapping[UUID, int]) -> None:
        """Fold the states from the stored events, each at least at the given version, until there is no conflict.

        Another process wrote them, or this one before it was killed. So the derived events are published even if
        nothing changed, under the version that was staged or a higher one.
        """
        while pending:
            current = await self._stored_view.load_states(pending)
            stored = await self._stored_view.load_events(pending)
            refolded = [
                self._refold_stored(r, current.get(r), stored[r], min_version)
                for r, min_version in pending.items()
                if stored[r]
            ]
            conflicts = await self._stored_view.swap([state for state in refolded if state.difference.names])
            await self._publish_derived(state for state in refolded if state.relationship not in conflicts)
            pending = {r: min_version for r, min_version in pending.items() if r in conflicts}

    def _refold_stored(
        self, r: UUID, current: Document | None, stored: Mapping[UUID, bytes], min_version: int
    ) -> RebuiltState:
        result = self._refold([event for stored_event in stored.values() if (event := decode_stored(stored_event, r))])
        version = version_of(current)
        names = compare_state(current, VersionedState(r, result)) or (("version",) if version < min_version else ())
        if current is None or names:
            rebuilt = VersionedState(r, mark_rebuilt(result), max(version + 1, min_version))
        else:  # as it was published by the process that wrote it, or would have been
            rebuilt = VersionedState(
                r, replace(result, retrospective=from_document(current).result.retrospective), version
            )
        return self._to_rebuilt_state(rebuilt, current, names)

    async def _publish_derived(self, states: Iterable[RebuiltState]) -> None:
        derived_events = [
            decode(event, _EVENT_TYPES, max_bytes=None) for state in states for event in state.derived_events
        ]
        await self._publish([event for event in derived_events if event is not None])


def _histories_of_relationships(histories: Mapping[UUID, History]) -> dict[UUID, RecordedHistory]:
    return {r: RecordedHistory.from_history(r, history) for r, history in about_relationships(histories).items()}
