"""What stands in notify's view of one relationship, as a pure function of all that was ever told of it.

It is what `Alerting` comes to by hearing the same events one batch after another, in whatever order and however often.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Literal
from uuid import UUID, uuid5

from services.notify.domain import relationship as relationships
from services.notify.domain.alert import WEIGHT, Act, Alert, alert_id, follow
from services.notify.domain.relationship import Fact, Relationship
from shared.events import AlertAcknowledged, AlertResolved, RelationshipEvent, RuptureEvent


@dataclass(frozen=True, slots=True)
class View:
    """A relationship and its alerts, by their ids."""

    relationship: Relationship
    alerts: dict[UUID, Alert] = field(default_factory=dict)


def take_in(view: View, events: Sequence[RelationshipEvent]) -> View:
    """The view after these events, new or not; what clinicians did about its alerts is among them."""
    facts = (event for event in events if isinstance(event, Fact))
    relationship = reduce(relationships.evolve, facts, view.relationship)
    if relationship.erased:
        return View(relationship)
    told = [event for event in events if isinstance(event, RuptureEvent)]
    alerts = follow(view.alerts, told, relationship)
    for event in events:
        if isinstance(event, AlertAcknowledged | AlertResolved) and alert_id(event.episode_id) in alerts:
            alert = alerts[alert_id(event.episode_id)]
            alerts[alert.id] = _done(alert, event)
    return View(relationship, alerts)


def with_acts_of(alert: Alert, there: Alert) -> Alert:
    """The alert, with what its clinician did and the topics do not say, or not yet."""
    acts = {kind: _last([getattr(there, kind), getattr(alert, kind)]) for kind in ("acknowledged", "resolved")}
    return alert.model_copy(update=acts)


def _done(alert: Alert, event: AlertAcknowledged | AlertResolved) -> Alert:
    kind: Literal["acknowledged", "resolved"] = "resolved" if isinstance(event, AlertResolved) else "acknowledged"
    severity = next((s for s in WEIGHT if event.id == uuid5(alert.id, f"{kind}:{s}")), None)
    if severity is None:
        return alert
    act = Act(at=event.occurred_at, severity=severity, useful=getattr(event, "useful", None))
    return alert.model_copy(update={kind: _last([getattr(alert, kind), act])})


def _last(acts: Iterable[Act | None]) -> Act | None:
    """The one that was done last; of the same severity, the one that comes last here."""
    by_severity = {act.severity: act for act in acts if act is not None}
    return max(by_severity.values(), key=lambda act: (act.at, WEIGHT[act.severity]), default=None)
