"""Whether clinicians were sent what they were owed, and no more."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from tests.system.chaos.checker.acknowledged import A_LITTLE
from tests.system.chaos.checker.alerts import Expected
from tests.system.chaos.checker.observation import Document, Seen
from tests.system.chaos.evidence import Evidence, Fault
from tests.system.smoke.checker import Alert
from tests.system.support.messages import FRESH, Message, channels_of, received
from tools.sandbox.network.course import Clinician

EXPLAINS_A_COPY = ("notify", "mongodb", "mail", "webhook")
"""What was hit by a fault after which a message may come twice: whoever sends it, notes it, or takes it."""
CLAIMED_WITHIN = timedelta(seconds=60)
LONGEST_WAIT = timedelta(hours=1, minutes=10)
"""Between two tries, with a lease on top."""


@dataclass
class Delivered:
    """What is wrong with the messages that came, and how many came again for a reason."""

    wrong: list[str] = field(default_factory=list)
    copies: int = 0
    waiting: int = 0
    """Not settled yet, because a fault put them off."""


def as_shown(alerts: Iterable[Expected]) -> list[Alert]:
    """The alerts as the smoke test knows them."""
    return [
        Alert(
            id=str(alert.id),
            clinician=alert.clinician,
            relationship=alert.last.relationship_id,
            episode=str(alert.last.episode_id),
            severity=alert.last.severity,
            status=alert.status,
            first_sign_at=alert.last.first_sign_at,
            last_sign_at=alert.last.last_sign_at,
        )
        for alert in alerts
        if alert.clinician is not None
    ]


def delivered(alerts: Mapping[UUID, Expected], evidence: Evidence, seen: Seen, apart: timedelta) -> Delivered:
    """What came, against what was owed. `apart`: how far the clocks of the services may have been wrong."""
    comparison, arrivals = Delivered(), _arrivals(alerts, evidence)
    deliveries = seen.documents("notify", "deliveries")
    for message, times in arrivals.items():
        comparison.wrong += _not_owed(message, alerts, evidence, apart)
        comparison.copies += len(times) - 1
        comparison.wrong += _unexplained(message, times, evidence.faults)
    pending = {i: d for i, d in deliveries.items() if "next_at" in d}
    comparison.waiting = len(pending)
    comparison.wrong += [
        difference for i, d in pending.items() for difference in _wrongly_waiting(i, d, evidence.faults, seen.now)
    ]
    for delivery_id, document in deliveries.items():
        comparison.wrong += _not_as_noted(delivery_id, document, arrivals)
    for message in _must_come(alerts, evidence.clinicians, seen.now - FRESH + apart):
        if message not in arrivals and _id(message) not in pending:
            comparison.wrong.append(f"did not come: {message}")
    return comparison


def _arrivals(alerts: Mapping[UUID, Expected], evidence: Evidence) -> dict[Message, list[datetime]]:
    """When each message came, each time."""
    messages = received(evidence.mails, evidence.hooks, as_shown(alerts.values()))
    arrivals = defaultdict[Message, list[datetime]](list)
    times = [*(email.at for email in evidence.mails), *(webhook.at for webhook in evidence.hooks)]
    for message, arrived_at in zip(messages, times, strict=True):
        arrivals[message].append(arrived_at)
    return dict(arrivals)


def _must_come(
    alerts: Mapping[UUID, Expected], clinicians: Mapping[UUID, Clinician], since: datetime
) -> Iterable[Message]:
    """One message by each channel for each open alert, of concern or urgent, with a sign since then."""
    for alert in alerts.values():
        if alert.status != "open" or alert.last.severity == "watch" or alert.last.last_sign_at < since:
            continue
        change = "rose" if alert.last.severity == "urgent" and "concern" in alert.rises else "raised"
        clinician = clinicians.get(alert.clinician) if alert.clinician else None
        for channel in channels_of(clinician) if clinician else ():
            yield Message(channel, str(alert.id), change)


def _not_owed(message: Message, alerts: Mapping[UUID, Expected], evidence: Evidence, apart: timedelta) -> Iterable[str]:
    """Owed is, at some time of its life, word of an alert of concern with a fresh sign; and that it rose from there."""
    alert = alerts.get(UUID(message.alert)) if message.change else None
    if alert is None:
        yield f"about nothing: {message}"
        return
    recent_severities = {
        rupture_event.severity
        for rupture_event in alert.told
        if rupture_event.last_sign_at + FRESH + apart >= evidence.since
    }
    all_severities = {rupture_event.severity for rupture_event in alert.told}
    expected_severities = {
        "raised": recent_severities & {"concern", "urgent"},
        "rose": recent_severities & {"urgent"} if "concern" in all_severities else set(),
    }
    if not expected_severities[message.change]:
        yield f"not owed: {message}"
    clinician = evidence.clinicians.get(alert.clinician) if alert.clinician else None
    if clinician is None or message.channel not in channels_of(clinician):
        yield f"not asked for: {message}"


def _unexplained(message: Message, times: Sequence[datetime], faults: Iterable[Fault]) -> Iterable[str]:
    """A message may come once more, after a fault that hit it between its coming and the note of that."""
    if len(times) > 2:
        yield f"came {len(times)} times: {message}"
    elif len(times) == 2 and not any(_hit_between(fault, min(times), max(times)) for fault in faults):
        yield f"came twice for no reason: {message}"


def _hit_between(fault: Fault, first: datetime, second: datetime) -> bool:
    return _may_explain(fault) and fault.begun <= second and fault.ended >= first - A_LITTLE


def _may_explain(fault: Fault) -> bool:
    return any(part in fault.target for part in EXPLAINS_A_COPY)


def _wrongly_waiting(delivery_id: UUID, document: Document, faults: Iterable[Fault], now: datetime) -> Iterable[str]:
    """What nobody took though it was due, what waits for too long, and what nothing put off."""
    has_explaining_fault = any(_may_explain(fault) for fault in faults)
    if not has_explaining_fault or not now - CLAIMED_WITHIN < document["next_at"] < now + LONGEST_WAIT:
        yield f"still to be delivered: {delivery_id}, at {document['next_at'].isoformat()}"


def _not_as_noted(delivery_id: UUID, document: Document, arrivals: Mapping[Message, object]) -> Iterable[str]:
    message = Message(document["channel"], str(document["alert_id"]), document["change"])
    if _id(message) != delivery_id:
        yield f"under another id: {message}"
    outcome = document.get("outcome")
    if outcome == "sent" and message not in arrivals:
        yield f"noted as sent and did not come: {message}"
    elif outcome not in (None, "sent"):
        yield f"{outcome}: {message}"


def _id(message: Message) -> UUID:
    return uuid5(UUID(message.alert), f"{message.change}:{message.channel}")
