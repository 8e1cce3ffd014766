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

    def __init__(self, store: Store, shadow: Shadow, deliver: Deliver, tell: Tell, history: History, say: Say) -> None:
        self._store = store
        self._shadow = shadow
        self._deliver = deliver
        self._tell = tell
        self._history = history
        self._say = say

    async def read(self, share: Share, done: Done) -> Counts:
        """Write beside what ought to be otherwise."""
        positions: Positions = {}
        told, clinicians = await everything(self._history, share.slice, positions)
        views = {r: take_in(new(r), events) for r, events in told.items()}
        counts: Counts = Counter({RELATIONSHIPS: len(views), CLINICIANS: await self._put_right(clinicians)})
        for page in pages(views):
            there = await self._shadow.there({r: views[r] for r in page})
            since, _ = await everything(self._history, share.slice, positions)
            views |= {r: take_in(views[r], events) for r, events in since.items() if r in views}
            found = {r: differences(there[r], views[r]) for r in page}
            await self._shadow.write_beside(
                share.id, [Rebuilt(views[r], dict(positions), tuple(found[r])) for r in page if found[r]]
            )
            done(sum(len(told[r]) for r in page))
        return counts

    async def swap(self, share: Share, done: Done) -> Counts:
        """Put in place what was written beside; then see to it that who needs to hear of an alert does."""
        counts: Counts = Counter()
        while page := await self._shadow.beside(share.id, SWAPPED_AT_ONCE):
            positions = _least([one.positions for one in page])
            alerts = await self._put_in_place(share.slice, positions, {one.relationship: one.view for one in page})
            await self._deliver.owe(alerts)
            await self._tell([event for alert in alerts for _, event in raised(alert)])
            await self._shadow.forget(one.relationship for one in page)
            for one in page:
                counts[OTHERWISE] += 1
                self._say(f"{one.relationship}: {', '.join(one.differs)}")
        return counts

    async def _put_in_place(self, which: Slice, positions: Positions, views: Mapping[UUID, View]) -> list[Alert]:
        """Until nobody came between; the alerts as they stand then."""
        standing: list[Alert] = []
        waiting = dict(views)
        await self._shadow.make_writable(waiting)
        while waiting:
            there = await self._shadow.there(waiting)
            since, _ = await everything(self._history, which, positions)
            waiting |= {r: take_in(waiting[r], events) for r, events in since.items() if r in waiting}
            lost = await self._write(waiting, there)
            for r in waiting.keys() - lost:
                standing += [as_it_ought_to_be(alert, there[r]) for alert in waiting[r].alerts.values()]
            waiting = {r: waiting[r] for r in lost}
        return standing

    async def _write(self, views: Mapping[UUID, View], there: Mapping[UUID, There]) -> set[UUID]:
        """Each relationship, then its alerts, over what was read; those that somebody else changed first."""
        lost = await self._store.keep_relationships(
            [
                Kept(r, view.relationship, version_of(there[r].relationship))
                for r, view in views.items()
                if relationship_differs(there[r], view)
            ]
        )
        alerts = [
            Kept(alert.id, as_it_ought_to_be(alert, there[r]), version_of(there[r].alerts.get(alert.id)))
            for r, view in views.items()
            if r not in lost
            for alert in view.alerts.values()
            if alert_differs(there[r], alert)
        ]
        lost_alerts = await self._store.keep_alerts(alerts)
        await self._store.forget_alerts_of([r for r, view in views.items() if view.relationship.erased])
        return lost | {kept.is_now.relationship_id for kept in alerts if kept.id in lost_alerts}

    async def _put_right(self, told: Mapping[UUID, Clinician]) -> int:
        there = await self._shadow.clinicians(told)
        count = 0
        for which, last in told.items():
            if otherwise(last, there.get(which)):
                await self._shadow.put_right(last, there.get(which))
                count += 1
        return count


def new(relationship: UUID) -> View:
    """Nothing is known yet."""
    return View(Relationship(relationship_id=relationship))


def otherwise(told: Clinician, there: Mapping[str, object] | None) -> bool:
    """Whether a clinician is kept otherwise than was told last; what was told later is so."""
    if there is None:
        return True
    as_told = (told.occurred_at, told.time_zone)
    try:
        return (there.get("told_at"), there.get("time_zone")) != as_told and not there["told_at"] > as_told[0]  # type: ignore[operator]
    except (KeyError, TypeError):
        return True


async def everything(
    history: History, which: Slice, positions: Positions
) -> tuple[dict[UUID, list[RelationshipEvent]], dict[UUID, Clinician]]:
    """What was told of each relationship, and last of each clinician, behind `positions`."""
    told: dict[UUID, list[RelationshipEvent]] = {}
    clinicians: dict[UUID, Clinician] = {}
    async for batch in history.read(which, positions):
        for recorded in batch:
            event = recorded.event
            if isinstance(event, ClinicianRegistered | ClinicianUpdated):
                before = clinicians.get(event.clinician_id)
                if before is None or before.occurred_at < event.occurred_at:
                    clinicians[event.clinician_id] = event
            else:
                about = cast("RelationshipEvent", event)
                told.setdefault(about.relationship_id, []).append(about)
    return told, clinicians


def pages(views: Mapping[UUID, View]) -> Iterator[list[UUID]]:
    """A few hundred at a time."""
    waiting = iter(list(views))
    while page := list(islice(waiting, PAGE)):
        yield page


def _least(positions: Sequence[Positions]) -> Positions:
    return {topic: min(one[topic] for one in positions) for topic in positions[0]}
