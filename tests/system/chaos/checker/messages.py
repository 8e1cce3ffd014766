"""Whether clinicians received exactly the messages that they should have received."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from tests.system.chaos.checker.alerts import ExpectedAlert
from tests.system.chaos.checker.clocks import CLOCK_TOLERANCE
from tests.system.chaos.checker.observation import Document, ObservedState
from tests.system.chaos.evidence import Evidence, Fault
from tests.system.smoke.checker import InboxAlert
from tests.system.support.messages import MAX_SIGN_AGE, Message, channels_of, parse_messages
from tools.sandbox.network.course import Clinician

DUPLICATE_CAUSES = ("notify", "mongodb", "mail", "webhook")
"""Targets of faults after which a message may arrive twice: its sender, its delivery record or its receiver."""
CLAIM_TIMEOUT = timedelta(seconds=60)
MAX_RETRY_WAIT = timedelta(hours=1, minutes=10)
"""The longest wait between two attempts, plus a lease."""


@dataclass
class DeliveryComparison:
    """What is wrong with the received messages, and how many of them are explained duplicates."""

    differences: list[str] = field(default_factory=list)
    duplicates: int = 0
    pending: int = 0
    """Deliveries that are still scheduled, because a fault delayed them."""


def to_inbox_alerts(alerts: Iterable[ExpectedAlert]) -> list[InboxAlert]:
    """The alerts in the form that the smoke test uses."""
    return [
        InboxAlert(
            id=str(alert.id),
            clinician_id=alert.clinician_id,
            relationship_id=alert.latest.relationship_id,
            episode_id=str(alert.latest.episode_id),
            severity=alert.latest.severity,
            status=alert.status,
            first_sign_at=alert.latest.first_sign_at,
            last_sign_at=alert.latest.last_sign_at,
        )
        for alert in alerts
        if alert.clinician_id is not None
    ]


def compare_deliveries(
    alerts: Mapping[UUID, ExpectedAlert], evidence: Evidence, observed: ObservedState, clock_skew: timedelta
) -> DeliveryComparison:
    """Compare the received messages with the required ones.

    `clock_skew` is how much the clocks of the services may have been wrong.
    """
    comparison, arrivals = DeliveryComparison(), _arrivals(alerts, evidence)
    deliveries = observed.documents("notify", "deliveries")
    for message, times in arrivals.items():
        comparison.differences += _unexpected(message, alerts, evidence, clock_skew)
        comparison.duplicates += len(times) - 1
        comparison.differences += _unexplained_duplicates(message, times, evidence.faults)
    pending = {i: d for i, d in deliveries.items() if "next_at" in d}
    comparison.pending = len(pending)
    comparison.differences += [
        difference
        for i, d in pending.items()
        for difference in _overdue_differences(i, d, evidence.faults, observed.observed_at)
    ]
    for delivery_id, document in deliveries.items():
        comparison.differences += _stored_outcome_differences(delivery_id, document, arrivals)
    for message in _required_messages(alerts, evidence.clinicians, observed.observed_at - MAX_SIGN_AGE + clock_skew):
        if message not in arrivals and _delivery_id(message) not in pending:
            comparison.differences.append(f"not received: {message}")
    return comparison


def _arrivals(alerts: Mapping[UUID, ExpectedAlert], evidence: Evidence) -> dict[Message, list[datetime]]:
    """All arrival times of each message."""
    messages = parse_messages(evidence.received_emails, evidence.received_webhooks, to_inbox_alerts(alerts.values()))
    arrivals = defaultdict[Message, list[datetime]](list)
    times = [
        *(email.received_at for email in evidence.received_emails),
        *(webhook.received_at for webhook in evidence.received_webhooks),
    ]
    for message, arrived_at in zip(messages, times, strict=True):
        arrivals[message].append(arrived_at)
    return dict(arrivals)


def _required_messages(
    alerts: Mapping[UUID, ExpectedAlert], clinicians: Mapping[UUID, Clinician], since: datetime
) -> Iterable[Message]:
    """One message by each channel for each open alert, of concern or urgent, with a sign since then.

    None if it reached its severity in retrospect only: by a rebuild, or by the rules of another version.
    """
    for alert in alerts.values():
        if alert.status != "open" or alert.latest.severity == "watch" or alert.latest.last_sign_at < since:
            continue
        if all(event.retrospective for event in alert.rupture_events if event.severity == alert.latest.severity):
            continue
        change = "rose" if alert.latest.severity == "urgent" and "concern" in alert.escalations else "raised"
        clinician = clinicians.get(alert.clinician_id) if alert.clinician_id else None
        for channel in channels_of(clinician) if clinician else ():
            yield Message(channel, str(alert.id), change)


def _unexpected(
    message: Message, alerts: Mapping[UUID, ExpectedAlert], evidence: Evidence, clock_skew: timedelta
) -> Iterable[str]:
    """Why a message should not exist.

    A message is expected if its alert was of concern or urgent with a recent sign at some time, and, for "rose", if it
    was of concern before.
    """
    alert = alerts.get(UUID(message.alert)) if message.change else None
    if alert is None:
        yield f"without alert: {message}"
        return
    recent_severities = {
        rupture_event.severity
        for rupture_event in alert.rupture_events
        if rupture_event.last_sign_at + MAX_SIGN_AGE + clock_skew >= evidence.started_at
    }
    all_severities = {rupture_event.severity for rupture_event in alert.rupture_events}
    expected_severities = {
        "raised": recent_severities & {"concern", "urgent"},
        "rose": recent_severities & {"urgent"} if "concern" in all_severities else set(),
    }
    if not expected_severities[message.change]:
        yield f"not required: {message}"
    clinician = evidence.clinicians.get(alert.clinician_id) if alert.clinician_id else None
    if clinician is None or message.channel not in channels_of(clinician):
        yield f"channel not configured: {message}"


def _unexplained_duplicates(message: Message, times: Sequence[datetime], faults: Iterable[Fault]) -> Iterable[str]:
    """A message may arrive a second time if a fault hit between its arrival and the recording of it."""
    if len(times) > 2:
        yield f"received {len(times)} times: {message}"
    elif len(times) == 2 and not any(_is_active_between(fault, min(times), max(times)) for fault in faults):
        yield f"received twice without a fault: {message}"


def _is_active_between(fault: Fault, first: datetime, second: datetime) -> bool:
    return _can_explain_duplicates(fault) and fault.started_at <= second and fault.ended_at >= first - CLOCK_TOLERANCE


def _can_explain_duplicates(fault: Fault) -> bool:
    return any(part in fault.target for part in DUPLICATE_CAUSES)


def _overdue_differences(
    delivery_id: UUID, document: Document, faults: Iterable[Fault], now: datetime
) -> Iterable[str]:
    """Deliveries that are overdue, scheduled too far ahead, or delayed although no fault explains it."""
    has_explaining_fault = any(_can_explain_duplicates(fault) for fault in faults)
    if not has_explaining_fault or not now - CLAIM_TIMEOUT < document["next_at"] < now + MAX_RETRY_WAIT:
        yield f"delivery still due: {delivery_id}, at {document['next_at'].isoformat()}"


def _stored_outcome_differences(
    delivery_id: UUID, document: Document, arrivals: Mapping[Message, object]
) -> Iterable[str]:
    message = Message(document["channel"], str(document["alert_id"]), document["change"])
    if _delivery_id(message) != delivery_id:
        yield f"wrong delivery id: {message}"
    outcome = document.get("outcome")
    if outcome == "sent" and message not in arrivals:
        yield f"recorded as sent but not received: {message}"
    elif outcome not in (None, "sent"):
        yield f"{outcome}: {message}"


def _delivery_id(message: Message) -> UUID:
    return uuid5(UUID(message.alert), f"{message.change}:{message.channel}")
