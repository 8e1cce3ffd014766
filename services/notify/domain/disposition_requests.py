"""What clinicians ask for about an alert, decided against what they were shown.

A request counts once, however often it is sent. It is rejected if the alert has changed since it was shown: nobody
acts on what nobody has seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from services.notify.domain.alert import Alert, Shown, with_dispositions
from services.notify.domain.disposition import Disposition, DispositionAction, reopened_ids
from shared.errors import Rejected
from shared.events import AlertAcknowledged, AlertReopened, AlertResolved, DispositionKind, Event
from shared.events.alerts import disposition_id

MAX_DISPOSITIONS = 100
"""Of one alert, so that its document stays small: many more than somebody makes who changes her mind."""


@dataclass(frozen=True, slots=True)
class DispositionRequest:
    """One request of a clinician about one alert."""

    id: UUID
    """Chosen by its sender; the same each time it is sent."""
    action: DispositionAction
    shown: Shown
    useful: bool | None = None
    """Whether an alert that is resolved was useful."""
    disposition_id: UUID | None = None
    """The disposition that is taken back, if the alert is reopened."""
    disposition: DispositionKind | None = None
    """What the clinician did about an alert that is resolved."""


def decide(alert: Alert, request: DispositionRequest, at: datetime) -> tuple[Alert, Sequence[Event]]:
    """The alert after the request, and the event about it; unchanged if it was made before. Raises Rejected."""
    disposition = Disposition(
        id=disposition_id(alert.id, request.id),
        action=request.action,
        at=at,
        severity=alert.severity,
        useful=request.useful,
        disposition_id=request.disposition_id,
        disposition=request.disposition,
    )
    if _was_made_before(alert, disposition):
        return alert, ()
    if request.shown != alert.shown:
        raise Rejected("alert-changed", f"alert {alert.id} has changed since it was shown; read it again, then decide")
    if not _is_needed(alert, request):
        return alert, ()
    if len(alert.dispositions) >= MAX_DISPOSITIONS:
        raise Rejected("too-many-dispositions", f"alert {alert.id} has {MAX_DISPOSITIONS} dispositions already")
    return with_dispositions(alert, [disposition]), (_event(alert, disposition),)


def _was_made_before(alert: Alert, disposition: Disposition) -> bool:
    made = next((d for d in alert.dispositions if d.id == disposition.id), None)
    if made is None:
        return False
    if _content(made) != _content(disposition):
        raise Rejected("id-already-used", "another request with this id was received before; choose a new id")
    if made.id in reopened_ids(alert.dispositions):
        raise Rejected("taken-back", f"this was done to alert {alert.id} and taken back; choose another id")
    return True


def _content(disposition: Disposition) -> tuple[object, ...]:
    return disposition.action, disposition.useful, disposition.disposition, disposition.disposition_id


def _is_needed(alert: Alert, request: DispositionRequest) -> bool:
    """Whether the request changes the alert as it is shown. Raises Rejected if it contradicts it."""
    match request.action:
        case "acknowledged":
            return alert.status == "open"
        case "resolved":
            if alert.status != "resolved" or alert.resolved is None:
                return True
            if (alert.resolved.useful, alert.resolved.disposition) != (request.useful, request.disposition):
                raise Rejected("already-resolved", f"alert {alert.id} is already resolved; reopen it first")
            return False
        case "reopened":
            current = alert.current_disposition
            if current is None or current.id != request.disposition_id:
                raise Rejected("not-current", f"that does not decide the status of alert {alert.id}; read it again")
            return True
        case _:
            assert_never(request.action)


def _event(alert: Alert, disposition: Disposition) -> Event:
    fields: dict[str, Any] = {
        "id": disposition.id,
        "occurred_at": disposition.at,
        "relationship_id": alert.relationship_id,
        "alert_id": alert.id,
        "episode_id": alert.episode_id,
        "clinician_id": alert.clinician_id,
        "severity": disposition.severity,
    }
    match disposition.action:
        case "acknowledged":
            return AlertAcknowledged(**fields)
        case "resolved":
            return AlertResolved(**fields, useful=disposition.useful, disposition=disposition.disposition)
        case "reopened":
            return AlertReopened(**fields, disposition_id=disposition.disposition_id)
        case _:
            assert_never(disposition.action)
