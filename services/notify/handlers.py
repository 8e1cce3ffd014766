"""What we do with a batch of events: a few round trips, however large it is, then what follows is told."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import reduce
from uuid import UUID

from services.notify.delivery import Deliver
from services.notify.domain import relationship as relationships
from services.notify.domain.alert import Alert, alert_id, follow, raised
from services.notify.domain.relationship import Fact, Relationship
from services.notify.metrics import Metrics
from services.notify.store import Kept, Store
from shared.events import (
    ClinicianRegistered,
    ClinicianUpdated,
    Event,
    RelationshipEvent,
    RelationshipStarted,
    RuptureEvent,
)

Tell = Callable[[Sequence[Event]], Awaitable[None]]
About = dict[UUID, list[RelationshipEvent]]


class Alerting:
    """Raises alerts, and keeps them true."""

    def __init__(self, store: Store, planner: Deliver, publish: Tell, metrics: Metrics) -> None:
        self._store = store
        self._deliver = planner
        self._tell = publish
        self._metrics = metrics

    async def __call__(self, events: Sequence[Event]) -> None:
        """Take `events` in; then see to it that who needs to hear of an alert does.

        Safe to repeat, in any order and any grouping: the same events give the same alerts. What is owed follows
        from the alerts as they stand, also when nothing changed, because the try before may have died in between.
        """
        await self._store.know(e for e in events if isinstance(e, ClinicianRegistered | ClinicianUpdated))
        events_by_relationship = _by_relationship(events)
        relationship_by_id = await self._take_in(events_by_relationship)
        await self._forget(relationship_by_id)
        alerts = await self._follow(events_by_relationship, relationship_by_id)
        await self._deliver.owe(alerts)
        await self._tell(
            [event for alert in alerts for event in _news(alert, events_by_relationship[alert.relationship_id])]
        )

    async def _take_in(self, events_by_relationship: About) -> dict[UUID, Relationship]:
        """What is known of each relationship, with what is new."""
        relationship_by_id: dict[UUID, Relationship] = {}
        pending = events_by_relationship
        while pending:
            loaded = await self._store.relationships(pending)
            evolved = {r: _evolved(loaded[r].is_now, events) for r, events in pending.items()}
            changed = [Kept(r, evolved[r], loaded[r].version) for r in evolved if evolved[r] != loaded[r].is_now]
            conflicts = await self._store.keep_relationships(changed)
            self._metrics.conflicts(len(conflicts))
            relationship_by_id |= {r: evolved[r] for r in evolved if r not in conflicts}
            pending = {r: pending[r] for r in conflicts}
        return relationship_by_id

    async def _forget(self, known: Mapping[UUID, Relationship]) -> None:
        if erased := [r for r, relationship in known.items() if relationship.erased]:
            await self._store.forget_alerts_of(erased)

    async def _follow(self, events_by_relationship: About, known: Mapping[UUID, Relationship]) -> list[Alert]:
        """The alerts that these relationships touch, as they stand now."""
        current_alerts: list[Alert] = []
        pending = {r: events for r, events in events_by_relationship.items() if not known[r].erased}
        while pending:
            episodes = {
                alert_id(e.episode_id) for events in pending.values() for e in events if isinstance(e, RuptureEvent)
            }
            loaded = {k.id: k for k in await self._store.alerts_of(episodes, pending)}
            evolved = _standing({i: k.is_now for i, k in loaded.items()}, pending, known)
            changed = [
                Kept(i, alert, loaded[i].version if i in loaded else 0)
                for i, alert in evolved.items()
                if i not in loaded or alert != loaded[i].is_now
            ]
            conflicts = await self._store.keep_alerts(changed)
            self._metrics.conflicts(len(conflicts))
            self._count([k.is_now for k in changed if k.id not in conflicts], loaded)
            conflicting_relationships = {evolved[i].relationship_id for i in conflicts}
            current_alerts += [
                alert for alert in evolved.values() if alert.relationship_id not in conflicting_relationships
            ]
            pending = {r: pending[r] for r in conflicting_relationships}
        return current_alerts

    def _count(self, written: Iterable[Alert], before: Mapping[UUID, Kept[Alert]]) -> None:
        for alert in written:
            counted_escalations = len(before[alert.id].is_now.rises) if alert.id in before else 0
            for severity, step in alert.rises[counted_escalations:]:
                self._metrics.raised(severity, step.recorded_at)
            if alert.id in before and before[alert.id].is_now.unsettled:
                self._metrics.settled(alert.severity, alert.status)


def _by_relationship(events: Sequence[Event]) -> About:
    grouped: defaultdict[UUID, list[RelationshipEvent]] = defaultdict(list)
    for event in events:
        if isinstance(event, RelationshipEvent):
            grouped[event.relationship_id].append(event)
    return dict(grouped)


def _evolved(relationship: Relationship, events: Iterable[RelationshipEvent]) -> Relationship:
    return reduce(relationships.evolve, (e for e in events if isinstance(e, Fact)), relationship)


def _standing(
    kept: Mapping[UUID, Alert], events_by_relationship: About, known: Mapping[UUID, Relationship]
) -> dict[UUID, Alert]:
    """The alerts by their ids, with what was told. An episode is of one relationship; another is not believed."""
    loaded_by_relationship: defaultdict[UUID, dict[UUID, Alert]] = defaultdict(dict)
    for i, alert in kept.items():
        loaded_by_relationship[alert.relationship_id][i] = alert
    evolved: dict[UUID, Alert] = {}
    for r, events in events_by_relationship.items():
        rupture_events = [e for e in events if isinstance(e, RuptureEvent)]
        accepted_events = [
            e
            for e in rupture_events
            if alert_id(e.episode_id) in loaded_by_relationship[r] or alert_id(e.episode_id) not in kept
        ]
        evolved |= follow(loaded_by_relationship[r], accepted_events, known[r])
    return evolved


def _news(alert: Alert, events: Sequence[RelationshipEvent]) -> list[Event]:
    """What others are told of the alert: what these events brought about, be it now or at a try before."""
    versions = {e.version for e in events if isinstance(e, RuptureEvent) and e.episode_id == alert.episode_id}
    is_newly_known = any(isinstance(e, RelationshipStarted) for e in events)
    return [event for version, event in raised(alert) if is_newly_known or version in versions]
