"""What a clinician does about an alert as it is shown."""

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

from services.notify.domain.alert import Alert
from services.notify.domain.disposition_requests import DispositionRequest, decide
from shared.events import DispositionKind, Event


def acknowledge(alert: Alert, at: datetime) -> tuple[Alert, Sequence[Event]]:
    return decide(alert, DispositionRequest(uuid4(), "acknowledged", alert.shown), at)


def resolve(
    alert: Alert, useful: bool | None, at: datetime, disposition: DispositionKind | None = None
) -> tuple[Alert, Sequence[Event]]:
    request = DispositionRequest(uuid4(), "resolved", alert.shown, useful=useful, disposition=disposition)
    return decide(alert, request, at)


def reopen(alert: Alert, at: datetime) -> tuple[Alert, Sequence[Event]]:
    """Take back the disposition that decides the status."""
    assert alert.current_disposition
    current_id = alert.current_disposition.id
    return decide(alert, DispositionRequest(uuid4(), "reopened", alert.shown, disposition_id=current_id), at)
