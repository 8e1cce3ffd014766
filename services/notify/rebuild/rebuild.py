"""Rebuilding the view of notify from the topics while the service runs; docs/adr/0010-rebuild.md says why so.

Relationships and alerts follow from the topics, and so does what clinicians did about their alerts. Channels and
deliveries do not: they are left alone, and since a message goes by an id that follows from its alert, nobody is told
twice. What ought to stand in the view is written beside it, and swapped in when everything was read. Each time the
view is looked at first and the topics are read on to their ends afterwards: so whatever the service wrote is known.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import cast
from uuid import UUID

from services.notify.delivery import DeliveryWorker
from services.notify.domain.alert import Alert, raised_events
from services.notify.domain.projection import RelationshipProjection, fold_forward
from services.notify.domain.relationship import Relationship
from services.notify.rebuild.staging import (
    CurrentView,
    RebuiltState,
    Staging,
    alert_differences,
    differences,
    expected_alert,
    relationship_differences,
    version_of,
)
from services.notify.store import Store, Versioned
from services.notify.subscriptions import CONSUMED_EVENTS
from shared.events import (
    AlertAcknowledged,
    AlertResolved,
    ClinicianRegistered,
    ClinicianUpdated,
    Event,
    RelationshipEvent,
)
from shared.events.topics import ALERTS, ALLIANCE, INTAKE, SESSIONS
from shared.kafka.topic_reader import Offsets, PartitionSlice, TopicReader
from shared.rebuild.job import Advance, Counts, RebuildTask

CONSUMED_TOPICS = (INTAKE, SESSIONS, ALLIANCE)
REBUILD_TOPICS = (*CONSUMED_TOPICS, ALERTS)
REBUILD_EVENTS: tuple[type[Event], ...] = (*CONSUMED_EVENTS, AlertAcknowledged, AlertResolved)
PAGE_SIZE = 500
"""Relationships that are compared with the database at once."""
SWAP_BATCH_SIZE = 200

# What is counted, as it is said at the end.
RELATIONSHIPS_READ, RELATIONSHIPS_CORRECTED, CLINICIANS_CORRECTED = (
    "relationships read",
    "relationships put right",
    "clinicians put right",
)

ClinicianChange = ClinicianRegistered | ClinicianUpdated
Publish = Callable[[Sequence[Event]], Awaitable[None]]
Report = Callable[[str], None]


class NotifyRebuilder:
    """The view of notify, as it is rebuilt; `say` is told of each part that was not as it ought to be."""

    def __init__(
        self,
        store: Store,
        staging: Staging,
        planner: DeliveryWorker,
        publish: Publish,
        reader: TopicReader,
        report: Report,
    ) -> None:
        self._store = store
        self._staging = staging
        self._planner = planner
        self._publish = publish
        self._reader = reader
        self._report = report

    async def stage(self, task: RebuildTask, advance: Advance) -> Counts:
        """Write beside what ought to be otherwise."""
        offsets: Offsets = {}
        events_by_relationship, clinicians = await read_topics(self._reader, task.partition_slice, offsets)
        projections = {r: fold_forward(empty_projection(r), events) for r, events in events_by_relationship.items()}
        counts: Counts = Counter(
            {RELATIONSHIPS_READ: len(projections), CLINICIANS_CORRECTED: await self._correct_clinicians(clinicians)}
        )
        for page in paginate(projections):
            current = await self._staging.load_current({r: projections[r] for r in page})
            newer_events, _ = await read_topics(self._reader, task.partition_slice, offsets)
            projections |= {
                r: fold_forward(projections[r], events) for r, events in newer_events.items() if r in projections
            }
            differences_by_id = {r: differences(current[r], projections[r]) for r in page}
            await self._staging.stage(
                task.id,
                [
                    RebuiltState(projections[r], dict(offsets), tuple(differences_by_id[r]))
                    for r in page
                    if differences_by_id[r]
                ],
            )
            advance(sum(len(events_by_relationship[r]) for r in page))
        return counts

    async def swap(self, task: RebuildTask, advance: Advance) -> Counts:
        """Put in place what was written beside; then see to it that who needs to hear of an alert does."""
        counts: Counts = Counter()
        while page := await self._staging.staged(task.id, SWAP_BATCH_SIZE):
            offsets = _lowest_offsets([state.offsets for state in page])
            alerts = await self._swap_in(
                task.partition_slice, offsets, {state.relationship: state.projection for state in page}
            )
            await self._planner.plan(alerts)
            await self._publish([event for alert in alerts for _, event in raised_events(alert)])
            await self._staging.delete(state.relationship for state in page)
            for state in page:
                counts[RELATIONSHIPS_CORRECTED] += 1
                self._report(f"{state.relationship}: {', '.join(state.differences)}")
        return counts

    async def _swap_in(
        self, topic_slice: PartitionSlice, offsets: Offsets, projections: Mapping[UUID, RelationshipProjection]
    ) -> list[Alert]:
        """Until nobody came between; the alerts as they stand then."""
        current_alerts: list[Alert] = []
        pending = dict(projections)
        await self._staging.remove_invalid_versions(pending)
        while pending:
            current = await self._staging.load_current(pending)
            newer_events, _ = await read_topics(self._reader, topic_slice, offsets)
            pending |= {r: fold_forward(pending[r], events) for r, events in newer_events.items() if r in pending}
            conflicts = await self._save(pending, current)
            for r in pending.keys() - conflicts:
                current_alerts += [expected_alert(alert, current[r]) for alert in pending[r].alerts.values()]
            pending = {r: pending[r] for r in conflicts}
        return current_alerts

    async def _save(
        self, projections: Mapping[UUID, RelationshipProjection], current: Mapping[UUID, CurrentView]
    ) -> set[UUID]:
        """Each relationship, then its alerts, over what was read; those that somebody else changed first."""
        conflicts = await self._store.save_relationships(
            [
                Versioned(r, projection.relationship, version_of(current[r].relationship))
                for r, projection in projections.items()
                if relationship_differences(current[r], projection)
            ]
        )
        alerts = [
            Versioned(alert.id, expected_alert(alert, current[r]), version_of(current[r].alerts.get(alert.id)))
            for r, projection in projections.items()
            if r not in conflicts
            for alert in projection.alerts.values()
            if alert_differences(current[r], alert)
        ]
        alert_conflicts = await self._store.save_alerts(alerts)
        await self._store.erase_alerts([r for r, projection in projections.items() if projection.relationship.erased])
        return conflicts | {versioned.value.relationship_id for versioned in alerts if versioned.id in alert_conflicts}

    async def _correct_clinicians(self, latest_changes: Mapping[UUID, ClinicianChange]) -> int:
        stored = await self._staging.load_clinicians(latest_changes)
        count = 0
        for clinician_id, latest in latest_changes.items():
            if clinician_differs(latest, stored.get(clinician_id)):
                await self._staging.correct_clinician(latest, stored.get(clinician_id))
                count += 1
        return count


def empty_projection(relationship: UUID) -> RelationshipProjection:
    """Nothing is known yet."""
    return RelationshipProjection(Relationship(relationship_id=relationship))


def clinician_differs(latest: ClinicianChange, stored: Mapping[str, object] | None) -> bool:
    """Whether a clinician is kept otherwise than was told last; what was told later is so."""
    if stored is None:
        return True
    expected = (latest.occurred_at, latest.time_zone)
    try:
        return (stored.get("told_at"), stored.get("time_zone")) != expected and not stored["told_at"] > expected[0]  # type: ignore[operator]
    except (KeyError, TypeError):
        return True


async def read_topics(
    reader: TopicReader, topic_slice: PartitionSlice, offsets: Offsets
) -> tuple[dict[UUID, list[RelationshipEvent]], dict[UUID, ClinicianChange]]:
    """What was told of each relationship, and last of each clinician, behind `positions`."""
    events_by_relationship: dict[UUID, list[RelationshipEvent]] = {}
    clinicians: dict[UUID, ClinicianChange] = {}
    async for batch in reader.read(topic_slice, offsets):
        for recorded in batch:
            event = recorded.event
            if isinstance(event, ClinicianRegistered | ClinicianUpdated):
                earlier = clinicians.get(event.clinician_id)
                if earlier is None or earlier.occurred_at < event.occurred_at:
                    clinicians[event.clinician_id] = event
            else:
                relationship_event = cast("RelationshipEvent", event)
                events_by_relationship.setdefault(relationship_event.relationship_id, []).append(relationship_event)
    return events_by_relationship, clinicians


def paginate(projections: Mapping[UUID, RelationshipProjection]) -> Iterator[list[UUID]]:
    """A few hundred at a time."""
    remaining = iter(list(projections))
    while page := list(islice(remaining, PAGE_SIZE)):
        yield page


def _lowest_offsets(offsets: Sequence[Offsets]) -> Offsets:
    return {topic: min(each[topic] for each in offsets) for topic in offsets[0]}
