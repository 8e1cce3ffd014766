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

from services.notify.delivery import Deliver
from services.notify.domain.alert import Alert, raised
from services.notify.domain.projection import View, take_in
from services.notify.domain.relationship import Relationship
from services.notify.rebuild.staging import (
    Rebuilt,
    Shadow,
    There,
    alert_differs,
    as_it_ought_to_be,
    differences,
    relationship_differs,
    version_of,
)
from services.notify.store import Kept, Store
from services.notify.subscriptions import HEARS
from shared.events import (
    AlertAcknowledged,
    AlertResolved,
    ClinicianRegistered,
    ClinicianUpdated,
    Event,
    RelationshipEvent,
)
from shared.events.topics import ALERTS, ALLIANCE, INTAKE, SESSIONS
from shared.kafka.topic_reader import History, Positions, Slice
from shared.rebuild.job import Counts, Done, Share

HEARD = (INTAKE, SESSIONS, ALLIANCE)
READ = (*HEARD, ALERTS)
KINDS_READ: tuple[type[Event], ...] = (*HEARS, AlertAcknowledged, AlertResolved)
PAGE = 500
"""Relationships that are compared with the database at once."""
SWAPPED_AT_ONCE = 200

# What is counted, as it is said at the end.
RELATIONSHIPS, OTHERWISE, CLINICIANS = "relationships read", "relationships put right", "clinicians put right"

Clinician = ClinicianRegistered | ClinicianUpdated
Tell = Callable[[Sequence[Event]], Awaitable[None]]
Say = Callable[[str], None]


class Views:
    """The view of notify, as it is rebuilt; `say` is told of each part that was not as it ought to be."""

    def __init__(
        self, store: Store, staging: Shadow, planner: Deliver, publish: Tell, history: History, say: Say
    ) -> None:
        self._store = store
        self._shadow = staging
        self._deliver = planner
        self._tell = publish
        self._history = history
        self._say = say

    async def read(self, task: Share, done: Done) -> Counts:
        """Write beside what ought to be otherwise."""
        offsets: Positions = {}
        events_by_relationship, clinicians = await everything(self._history, task.slice, offsets)
        projections = {r: take_in(new(r), events) for r, events in events_by_relationship.items()}
        counts: Counts = Counter({RELATIONSHIPS: len(projections), CLINICIANS: await self._put_right(clinicians)})
        for page in pages(projections):
            current = await self._shadow.there({r: projections[r] for r in page})
            newer_events, _ = await everything(self._history, task.slice, offsets)
            projections |= {
                r: take_in(projections[r], events) for r, events in newer_events.items() if r in projections
            }
            differences_by_id = {r: differences(current[r], projections[r]) for r in page}
            await self._shadow.write_beside(
                task.id,
                [
                    Rebuilt(projections[r], dict(offsets), tuple(differences_by_id[r]))
                    for r in page
                    if differences_by_id[r]
                ],
            )
            done(sum(len(events_by_relationship[r]) for r in page))
        return counts

    async def swap(self, task: Share, done: Done) -> Counts:
        """Put in place what was written beside; then see to it that who needs to hear of an alert does."""
        counts: Counts = Counter()
        while page := await self._shadow.beside(task.id, SWAPPED_AT_ONCE):
            offsets = _least([state.positions for state in page])
            alerts = await self._put_in_place(task.slice, offsets, {state.relationship: state.view for state in page})
            await self._deliver.owe(alerts)
            await self._tell([event for alert in alerts for _, event in raised(alert)])
            await self._shadow.forget(state.relationship for state in page)
            for state in page:
                counts[OTHERWISE] += 1
                self._say(f"{state.relationship}: {', '.join(state.differs)}")
        return counts

    async def _put_in_place(
        self, topic_slice: Slice, offsets: Positions, projections: Mapping[UUID, View]
    ) -> list[Alert]:
        """Until nobody came between; the alerts as they stand then."""
        current_alerts: list[Alert] = []
        pending = dict(projections)
        await self._shadow.make_writable(pending)
        while pending:
            current = await self._shadow.there(pending)
            newer_events, _ = await everything(self._history, topic_slice, offsets)
            pending |= {r: take_in(pending[r], events) for r, events in newer_events.items() if r in pending}
            conflicts = await self._write(pending, current)
            for r in pending.keys() - conflicts:
                current_alerts += [as_it_ought_to_be(alert, current[r]) for alert in pending[r].alerts.values()]
            pending = {r: pending[r] for r in conflicts}
        return current_alerts

    async def _write(self, projections: Mapping[UUID, View], current: Mapping[UUID, There]) -> set[UUID]:
        """Each relationship, then its alerts, over what was read; those that somebody else changed first."""
        conflicts = await self._store.keep_relationships(
            [
                Kept(r, projection.relationship, version_of(current[r].relationship))
                for r, projection in projections.items()
                if relationship_differs(current[r], projection)
            ]
        )
        alerts = [
            Kept(alert.id, as_it_ought_to_be(alert, current[r]), version_of(current[r].alerts.get(alert.id)))
            for r, projection in projections.items()
            if r not in conflicts
            for alert in projection.alerts.values()
            if alert_differs(current[r], alert)
        ]
        alert_conflicts = await self._store.keep_alerts(alerts)
        await self._store.forget_alerts_of(
            [r for r, projection in projections.items() if projection.relationship.erased]
        )
        return conflicts | {versioned.is_now.relationship_id for versioned in alerts if versioned.id in alert_conflicts}

    async def _put_right(self, told: Mapping[UUID, Clinician]) -> int:
        stored = await self._shadow.clinicians(told)
        count = 0
        for clinician_id, latest in told.items():
            if otherwise(latest, stored.get(clinician_id)):
                await self._shadow.put_right(latest, stored.get(clinician_id))
                count += 1
        return count


def new(relationship: UUID) -> View:
    """Nothing is known yet."""
    return View(Relationship(relationship_id=relationship))


def otherwise(told: Clinician, stored: Mapping[str, object] | None) -> bool:
    """Whether a clinician is kept otherwise than was told last; what was told later is so."""
    if stored is None:
        return True
    expected = (told.occurred_at, told.time_zone)
    try:
        return (stored.get("told_at"), stored.get("time_zone")) != expected and not stored["told_at"] > expected[0]  # type: ignore[operator]
    except (KeyError, TypeError):
        return True


async def everything(
    history: History, topic_slice: Slice, offsets: Positions
) -> tuple[dict[UUID, list[RelationshipEvent]], dict[UUID, Clinician]]:
    """What was told of each relationship, and last of each clinician, behind `positions`."""
    events_by_relationship: dict[UUID, list[RelationshipEvent]] = {}
    clinicians: dict[UUID, Clinician] = {}
    async for batch in history.read(topic_slice, offsets):
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


def pages(projections: Mapping[UUID, View]) -> Iterator[list[UUID]]:
    """A few hundred at a time."""
    remaining = iter(list(projections))
    while page := list(islice(remaining, PAGE)):
        yield page


def _least(offsets: Sequence[Positions]) -> Positions:
    return {topic: min(each[topic] for each in offsets) for topic in offsets[0]}
