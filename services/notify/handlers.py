"""How a batch of events changes the alerts: a few round trips to the store, whatever its size, then publishing."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import reduce
from uuid import UUID

from services.notify.delivery.planner import DeliveryPlanner
from services.notify.domain import relationship as relationships
from services.notify.domain.alert import Alert, alert_id, fold_alerts, raised_events
from services.notify.domain.relationship import HistoryEvent, Relationship
from services.notify.domain.retention import is_history, is_named
from services.notify.metrics import Metrics
from services.notify.store import Store
from shared.events import (
    AllianceUpdated,
    ClinicianRegistered,
    ClinicianUpdated,
    Event,
    RelationshipEvent,
    RelationshipStarted,
    RuptureEvent,
)
from shared.outbox.documents import Versioned

Publish = Callable[[Sequence[Event]], Awaitable[None]]
EventsByRelationship = dict[UUID, list[RelationshipEvent]]


class AlertProjector:
    """Raises alerts and keeps them up to date."""

    def __init__(
        self, store: Store, planner: DeliveryPlanner, publish: Publish, metrics: Metrics, alert_retention: timedelta
    ) -> None:
        self._alert_retention = alert_retention
        self._store = store
        self._planner = planner
        self._publish = publish
        self._metrics = metrics

    async def handle_batch(self, events: Sequence[Event]) -> None:
        """Fold `events` into their relationships and alerts, plan the deliveries and publish the derived events.

        Idempotent and independent of order and batching: the same events give the same alerts. Deliveries are
        planned from the current alerts even when nothing changed, because an earlier attempt may have crashed
        after saving them.
        """
        await self._save_clinicians(events)
        events_by_relationship = _group_by_relationship(events)
        relationship_by_id = await self._update_relationships(events_by_relationship)
        await self._erase_alerts(relationship_by_id)
        alerts = await self._update_alerts(events_by_relationship, relationship_by_id)
        await self._planner.plan(alerts)
        await self._publish(
            [
                event
                for alert in alerts
                for event in _derive_events(alert, events_by_relationship[alert.relationship_id])
            ]
        )

    async def fold_into_relationships(self, events: Sequence[Event]) -> None:
        """Fold `events` into relationships and clinicians only: alerts stay as they are, and nothing is published.

        For events of before, folded again; the batch that brings an event first also brings what follows from it.
        """
        await self._save_clinicians(events)
        await self._update_relationships(_group_by_relationship(events))

    async def _save_clinicians(self, events: Sequence[Event]) -> None:
        await self._store.save_clinicians(e for e in events if isinstance(e, ClinicianRegistered | ClinicianUpdated))

    async def _update_relationships(self, events_by_relationship: EventsByRelationship) -> dict[UUID, Relationship]:
        """Fold the events into their relationships and save them; return the current state of each."""
        relationship_by_id: dict[UUID, Relationship] = {}
        pending = events_by_relationship
        while pending:
            loaded = await self._store.load_relationships(pending)
            evolved = {r: _evolve_relationship(loaded[r].value, events) for r, events in pending.items()}
            changed = [Versioned(r, evolved[r], loaded[r].version) for r in evolved if evolved[r] != loaded[r].value]
            conflicts = await self._store.save_relationships(changed)
            self._metrics.count_conflicts(len(conflicts))
            relationship_by_id |= {r: evolved[r] for r in evolved if r not in conflicts}
            pending = {r: pending[r] for r in conflicts}
        return relationship_by_id

    async def _erase_alerts(self, relationship_by_id: Mapping[UUID, Relationship]) -> None:
        if erased := [r for r, relationship in relationship_by_id.items() if relationship.erased]:
            await self._store.erase_alerts(erased)

    async def _update_alerts(
        self, events_by_relationship: EventsByRelationship, relationship_by_id: Mapping[UUID, Relationship]
    ) -> list[Alert]:
        """Fold the events into the alerts and save them; return the current alerts of these relationships."""
        current_alerts: list[Alert] = []
        relationship_by_id = dict(relationship_by_id)
        pending = {r: events for r, events in events_by_relationship.items() if not relationship_by_id[r].erased}
        while pending:
            alert_ids = {alert_id(episode) for events in pending.values() for episode in _named_episodes(events)}
            withdrawn = {r for r in pending if relationship_by_id[r].consent_withdrawn_at is not None}
            loaded = {a.id: a for a in await self._store.load_versioned_alerts(alert_ids, pending, withdrawn)}
            evolved = _evolve_alerts({i: alert.value for i, alert in loaded.items()}, pending, relationship_by_id)
            evolved = await self._without_history(evolved, loaded)
            changed = [
                Versioned(i, alert, loaded[i].version if i in loaded else 0)
                for i, alert in evolved.items()
                if i not in loaded or alert != loaded[i].value
            ]
            conflicts = await self._store.save_alerts(changed)
            self._metrics.count_conflicts(len(conflicts))
            self._record_metrics([alert.value for alert in changed if alert.id not in conflicts], loaded)
            outdated = await self._find_outdated({alert.value.relationship_id for alert in changed}, relationship_by_id)
            await self._erase_alerts(outdated)
            relationship_by_id |= outdated
            repeated = {evolved[i].relationship_id for i in conflicts} | outdated.keys()
            current_alerts += [alert for alert in evolved.values() if alert.relationship_id not in repeated]
            pending = {r: pending[r] for r in repeated if not relationship_by_id[r].erased}
        return current_alerts

    async def _find_outdated(
        self, ids: Collection[UUID], relationship_by_id: Mapping[UUID, Relationship]
    ) -> dict[UUID, Relationship]:
        """What has become of the relationships that another process has changed since.

        Every process writes relationships, then reads alerts, writes alerts, and then reads relationships. So of two
        that change the same at once, one sees what the other wrote.
        """
        current = await self._store.load_relationships(ids) if ids else {}
        return {r: current[r].value for r in current if current[r].value != relationship_by_id[r]}

    async def _without_history(
        self, evolved: dict[UUID, Alert], loaded: Mapping[UUID, Versioned[Alert]]
    ) -> dict[UUID, Alert]:
        """The alerts without new ones that are past retention: they were removed, and are not brought back."""
        if all(i in loaded or is_named(alert) for i, alert in evolved.items()):
            return evolved
        retained_since = await self._store.now() - self._alert_retention
        return {i: alert for i, alert in evolved.items() if i in loaded or not is_history(alert, retained_since)}

    def _record_metrics(self, written: Iterable[Alert], loaded: Mapping[UUID, Versioned[Alert]]) -> None:
        for alert in written:
            counted_escalations = len(loaded[alert.id].value.escalations) if alert.id in loaded else 0
            for severity, step in alert.escalations[counted_escalations:]:
                self._metrics.count_raised(severity, step.recorded_at)
            if alert.id in loaded and loaded[alert.id].value.is_active:
                self._metrics.count_closed(alert.severity, alert.status)


def _group_by_relationship(events: Sequence[Event]) -> EventsByRelationship:
    grouped: defaultdict[UUID, list[RelationshipEvent]] = defaultdict(list)
    for event in events:
        if isinstance(event, RelationshipEvent):
            grouped[event.relationship_id].append(event)
    return dict(grouped)


def _named_episodes(events: Iterable[RelationshipEvent]) -> Iterator[UUID]:
    for event in events:
        if isinstance(event, RuptureEvent):
            yield event.episode_id
        elif isinstance(event, AllianceUpdated) and event.open_episode_id is not None:
            yield event.open_episode_id


def _evolve_relationship(relationship: Relationship, events: Iterable[RelationshipEvent]) -> Relationship:
    return reduce(relationships.evolve, (e for e in events if isinstance(e, HistoryEvent)), relationship)


def _evolve_alerts(
    loaded_alerts: Mapping[UUID, Alert],
    events_by_relationship: EventsByRelationship,
    relationship_by_id: Mapping[UUID, Relationship],
) -> dict[UUID, Alert]:
    """The alerts by id, after the events.

    An episode belongs to one relationship: events of another relationship that name it are ignored.
    """
    loaded_by_relationship: defaultdict[UUID, dict[UUID, Alert]] = defaultdict(dict)
    for i, alert in loaded_alerts.items():
        loaded_by_relationship[alert.relationship_id][i] = alert
    evolved: dict[UUID, Alert] = {}
    for r, events in events_by_relationship.items():
        rupture_events = [e for e in events if isinstance(e, RuptureEvent)]
        accepted_events = [
            e
            for e in rupture_events
            if alert_id(e.episode_id) in loaded_by_relationship[r] or alert_id(e.episode_id) not in loaded_alerts
        ]
        evolved |= fold_alerts(loaded_by_relationship[r], accepted_events, relationship_by_id[r])
    return evolved


def _derive_events(alert: Alert, events: Sequence[RelationshipEvent]) -> list[Event]:
    """The events to publish about the alert that result from `events`, now or at an earlier attempt."""
    versions = {e.version for e in events if isinstance(e, RuptureEvent) and e.episode_id == alert.episode_id}
    is_newly_known = any(isinstance(e, RelationshipStarted) for e in events)
    return [event for version, event in raised_events(alert) if is_newly_known or version in versions]
