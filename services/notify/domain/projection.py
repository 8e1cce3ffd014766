"""Notify's view of one relationship, as a pure function of all its events.

The result equals what `AlertProjector` stores after handling the same events in any batches, in any order and any
number of times.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from uuid import UUID

from services.notify.domain import relationship as relationships
from services.notify.domain.alert import Alert, Disposition, alert_id, fold_alerts
from services.notify.domain.relationship import HistoryEvent, Relationship
from shared.events import AlertAcknowledged, AlertResolved, RelationshipEvent, RuptureEvent
from shared.events.model import SEVERITY_RANK


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
        if isinstance(event, AlertAcknowledged | AlertResolved) and alert_id(event.episode_id) in alerts:
            alert = alerts[alert_id(event.episode_id)]
            alerts[alert.id] = _apply_disposition(alert, event)
    return RelationshipProjection(relationship, alerts)


def with_dispositions_of(alert: Alert, stored: Alert) -> Alert:
    """The alert, with the clinician's dispositions from `stored` that are not on the topics, or not yet."""
    dispositions = {
        field_name: _latest([getattr(stored, field_name), getattr(alert, field_name)])
        for field_name in ("acknowledged", "resolved")
    }
    return alert.model_copy(update=dispositions)


def _apply_disposition(alert: Alert, event: AlertAcknowledged | AlertResolved) -> Alert:
    if event.severity is None:
        return alert
    disposition = Disposition(at=event.occurred_at, severity=event.severity, useful=getattr(event, "useful", None))
    return alert.model_copy(update={event.ACTION: _latest([getattr(alert, event.ACTION), disposition])})


def _latest(dispositions: Iterable[Disposition | None]) -> Disposition | None:
    """The most recent disposition; of several with the same severity, only the last given counts."""
    by_severity = {disposition.severity: disposition for disposition in dispositions if disposition is not None}
    return max(
        by_severity.values(),
        key=lambda disposition: (disposition.at, SEVERITY_RANK[disposition.severity]),
        default=None,
    )
