"""What stands in notify's view of one relationship, as a pure function of all that was ever told of it.

It is what `Alerting` comes to by hearing the same events one batch after another, in whatever order and however often.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Literal
from uuid import UUID, uuid5

from services.notify.domain import relationship as relationships
from services.notify.domain.alert import SEVERITY_RANK, Alert, Disposition, alert_id, fold_alerts
from services.notify.domain.relationship import HistoryEvent, Relationship
from shared.events import AlertAcknowledged, AlertResolved, RelationshipEvent, RuptureEvent


@dataclass(frozen=True, slots=True)
class RelationshipProjection:
    """A relationship and its alerts, by their ids."""

    relationship: Relationship
    alerts: dict[UUID, Alert] = field(default_factory=dict)


def fold_forward(projection: RelationshipProjection, events: Sequence[RelationshipEvent]) -> RelationshipProjection:
    """The view after these events, new or not; what clinicians did about its alerts is among them."""
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
    """The alert, with what its clinician did and the topics do not say, or not yet."""
    dispositions = {
        field_name: _latest([getattr(stored, field_name), getattr(alert, field_name)])
        for field_name in ("acknowledged", "resolved")
    }
    return alert.model_copy(update=dispositions)


def _apply_disposition(alert: Alert, event: AlertAcknowledged | AlertResolved) -> Alert:
    field_name: Literal["acknowledged", "resolved"] = "resolved" if isinstance(event, AlertResolved) else "acknowledged"
    severity = next((s for s in SEVERITY_RANK if event.id == uuid5(alert.id, f"{field_name}:{s}")), None)
    if severity is None:
        return alert
    disposition = Disposition(at=event.occurred_at, severity=severity, useful=getattr(event, "useful", None))
    return alert.model_copy(update={field_name: _latest([getattr(alert, field_name), disposition])})


def _latest(dispositions: Iterable[Disposition | None]) -> Disposition | None:
    """The one that was done last; of the same severity, the one that comes last here."""
    by_severity = {disposition.severity: disposition for disposition in dispositions if disposition is not None}
    return max(
        by_severity.values(),
        key=lambda disposition: (disposition.at, SEVERITY_RANK[disposition.severity]),
        default=None,
    )
