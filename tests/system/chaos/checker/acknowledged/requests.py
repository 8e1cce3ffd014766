"""Reads the acknowledged requests in the order of their responses; each kind of request has a handler."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.system.chaos.checker.acknowledged import relationships, sessions, staff
from tests.system.chaos.checker.acknowledged.history import AcknowledgedHistory, Disposition
from tools.sandbox.network.ledger import AcknowledgedRequest


def _acknowledge_alert(history: AcknowledgedHistory, alert: str, request: AcknowledgedRequest) -> None:
    _add_disposition(history, "acknowledged", alert, request)


def _resolve_alert(history: AcknowledgedHistory, alert: str, request: AcknowledgedRequest) -> None:
    _add_disposition(history, "resolved", alert, request)


def _add_disposition(history: AcknowledgedHistory, action: str, alert: str, request: AcknowledgedRequest) -> None:
    alert_view, body = request.response, request.body
    request_id = UUID(body["id"]) if "id" in body else None
    history.dispositions.append(
        Disposition(UUID(alert), action, alert_view["status"], alert_view["severity"], body.get("useful"), request_id)
    )


def _ignore(*_: Any) -> None:
    """Neither channels nor invitations are published."""


_ID = r"([0-9a-f-]{36})"
REQUEST_HANDLERS: Sequence[tuple[str, str, str, Callable[..., None]]] = (
    ("intake", "PUT", f"/clinics/{_ID}", relationships.save_clinic),
    ("intake", "PUT", f"/clinicians/{_ID}", relationships.register_clinician),
    ("intake", "PUT", f"/clinics/{_ID}/people/{_ID}", staff.save_person),
    ("intake", "PUT", f"/clinics/{_ID}/people/{_ID}/invitation", _ignore),
    ("intake", "PUT", f"/clinics/{_ID}/lead", staff.save_lead),
    ("intake", "PUT", f"/clients/{_ID}", relationships.add_client),
    ("intake", "PUT", f"/relationships/{_ID}", relationships.start_relationship),
    ("intake", "PUT", f"/relationships/{_ID}/aims", relationships.update_aims),
    ("intake", "PUT", f"/relationships/{_ID}/consent", relationships.change_consent),
    ("intake", "POST", f"/relationships/{_ID}/end", relationships.end_relationship),
    ("intake", "POST", f"/relationships/{_ID}/transfer", relationships.transfer_relationship),
    ("sessions", "PUT", f"/sessions/{_ID}", sessions.schedule_session),
    ("sessions", "POST", f"/sessions/{_ID}/completion", sessions.complete_session),
    ("sessions", "POST", f"/sessions/{_ID}/client-link", sessions.issue_client_link),
    ("sessions", "POST", f"/sessions/{_ID}/missed", sessions.mark_missed),
    ("sessions", "POST", f"/sessions/{_ID}/cancellation", sessions.cancel_session),
    ("sessions", "PUT", f"/sessions/{_ID}/feedback/(client|clinician)", sessions.record_answer),
    ("sessions", "POST", r"/f/([\w-]+)", sessions.answer_form),
    ("notify", "PUT", f"/clinicians/{_ID}/channels", _ignore),
    ("notify", "POST", f"/alerts/{_ID}/acknowledgement", _acknowledge_alert),
    ("notify", "POST", f"/alerts/{_ID}/resolution", _resolve_alert),
)


def read_requests(
    requests: Iterable[AcknowledgedRequest], started_at: datetime, clock_skew: timedelta
) -> AcknowledgedHistory:
    """Apply all requests. Raises ValueError for a request without a handler."""
    history = AcknowledgedHistory(started_at, clock_skew)
    for request in requests:
        if request.method != "GET":
            _apply_request(history, request)
    return history


def _apply_request(history: AcknowledgedHistory, request: AcknowledgedRequest) -> None:
    for service, method, pattern, apply in REQUEST_HANDLERS:
        if (service, method) == (request.service, request.method) and (match := re.fullmatch(pattern, request.path)):
            apply(history, *match.groups(), request)
            return
    raise ValueError(f"the checker has no handler for {request.method} {request.service}{request.path}")
