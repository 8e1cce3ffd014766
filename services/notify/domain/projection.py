"""Notify's view of one relationship, as a pure function of all its events.

The result equals what `AlertProjector` stores after handling the same events in any batches, in any order and any
number of times.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import assert_never
from uuid import UUID

from services.notify.domain import relationship as relationships
from services.notify.domain.alert import Alert, alert_id, fold_alerts, with_dispositions
from services.notify.domain.disposition import Disposition
from services.notify.domain.relationship import HistoryEvent, Relationship
from shared.events import AlertAcknowledged, AlertReopened, AlertResolved, RelationshipEvent, RuptureEvent

DISPOSITION_EVENTS = (AlertAcknowledged, AlertResolved, AlertReopened)


@dataclass(frozen=True, slots=True)
class RelationshipProjection:
    """A relationship and its alerts by id."""

    relationship: Relationship
    alerts: dict[UUID, Alert] = field(default_factory=dict)


def fold_forward(projection: RelationshipProjection, events: Sequence[RelationshipEvent]) -> RelationshipProjection:
    """The view after these events, which may be repeated; they include the clinicians' dispositions."""
    history_events = (event for event in events if isinstance(event, HistoryEvent))
    relationship = reduce(relationships.evolve, history_events, projection.relationship)
    if relationship.erased:
        return RelationshipProjection(relationship)
    rupture_events = [event for event in events if isinstance(event, RuptureEvent)]
    alerts = fold_alerts(projection.alerts, rupture_events, relationship)
    for event in events:
        if isinstance(event, DISPOSITION_EVENTS) and alert_id(event.episode_id) in alerts:
            alert = alerts[alert_id(event.episode_id)]
            if (disposition := _to_disposition(event)) is not None:
                alerts[alert.id] = with_dispositions(alert, [disposition])
    return RelationshipProjection(relationship, alerts)


def with_dispositions_of(alert: Alert, stored: Alert) -> Alert:
    """The alert, with the clinician's dispositions from `stored` that are not on the topics, or not yet."""
    published_ids = {disposition.id for disposition in alert.dispositions}
    return with_dispositions(alert, [d for d in stored.dispositions if d.id not in published_ids])


def _to_disposition(event: AlertAcknowledged | AlertResolved | AlertReopened) -> Disposition | None:
    """What is stored of the event; None if it is an old one of unknown severity, which covers none."""
    if event.severity is None:
        return None
    fields = {"id": event.id, "at": event.occurred_at, "severity": event.severity}
    match event:
        case AlertAcknowledged():
            return Disposition(action="acknowledged", **fields)
        case AlertResolved():
            return Disposition(action="resolved", useful=event.useful, disposition=event.disposition, **fields)
        case AlertReopened():
            return Disposition(action="reopened", disposition_id=event.disposition_id, **fields)
        case _:
            assert_never(event)
