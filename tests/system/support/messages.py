"""Compares the messages that clinicians received with the alerts in their inboxes."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from standardwebhooks import Webhook

from tests.system.smoke.checker import InboxAlert
from tools.sandbox.network.clinic_systems import webhook_secret
from tools.sandbox.network.course import Clinician
from tools.sandbox.network.receivers import ReceivedEmail, ReceivedWebhook

MAX_SIGN_AGE = timedelta(days=7)  # no messages about older signs; the default of the notify service
CHANGES = ("raised", "rose")
MAX_SIGNATURE_AGE = timedelta(minutes=5)  # receivers reject older signatures (standardwebhooks.com)


@dataclass(frozen=True, order=True)
class Message:
    """One change of one alert, sent on one channel."""

    channel: str
    alert: str
    change: str


def parse_messages(
    received_emails: Iterable[ReceivedEmail], received_webhooks: Iterable[ReceivedWebhook], alerts: Iterable[InboxAlert]
) -> list[Message]:
    """Every message that arrived; one that belongs to no alert has no change."""
    deliveries = {
        uuid5(UUID(alert.id), f"{change}:email"): Message("email", alert.id, change)
        for alert in alerts
        for change in CHANGES
    }
    messages = [deliveries.get(_delivery_id(email), Message("email", "of no alert", "")) for email in received_emails]
    bodies = [json.loads(webhook.body) for webhook in received_webhooks]
    return messages + [Message("webhook", body["alert_id"], body["type"].removeprefix("alert.")) for body in bodies]


def message_differences(
    messages: Sequence[Message], alerts: Iterable[InboxAlert], clinicians: Mapping[UUID, Clinician], now: datetime
) -> list[str]:
    """Required messages that did not arrive, and messages that were not required or arrived more than once.

    A message is required for each open alert that is of concern or urgent and has a recent last sign. An alert that was
    retracted before its message was sent is not an error, and neither is a second message when an alert rose.
    """
    message_counts = Counter(messages)
    differences = [f"received {count} times: {message}" for message, count in message_counts.items() if count > 1]
    by_id = {alert.id: alert for alert in alerts}
    for message in message_counts:
        alert = by_id.get(message.alert)
        if alert is None or alert.severity == "watch" or now - alert.last_sign_at > MAX_SIGN_AGE:
            differences.append(f"not required: {message} about {alert}")
        elif message.channel not in channels_of(clinicians[alert.clinician_id]):
            differences.append(f"channel not configured: {message}")
    for alert in by_id.values():
        is_required = alert.status == "open" and alert.severity != "watch" and now - alert.last_sign_at < MAX_SIGN_AGE
        differences += [
            f"not received by {channel}: {alert}"
            for channel in (channels_of(clinicians[alert.clinician_id]) if is_required else ())
            if not any(Message(channel, alert.id, change) in message_counts for change in CHANGES)
        ]
    return differences


def channels_of(clinician: Clinician) -> set[str]:
    """The channels that a clinician has configured."""
    return {
        channel
        for channel, is_configured in (("email", clinician.email), ("webhook", clinician.has_webhook))
        if is_configured
    }


def misdelivered_messages(
    received_emails: Iterable[ReceivedEmail],
    received_webhooks: Iterable[ReceivedWebhook],
    alerts: Sequence[InboxAlert],
    clinicians: Mapping[UUID, Clinician],
) -> list[str]:
    """Messages that did not reach the clinician of their alert, and webhooks without a valid signature."""
    clinician_by_delivery = {
        uuid5(UUID(alert.id), f"{change}:email"): alert.clinician_id for alert in alerts for change in CHANGES
    }
    differences = [
        f"mail to {email.recipients}"
        for email in received_emails
        if not _is_to_clinician(email, clinician_by_delivery, clinicians)
    ]
    clinician_by_alert = {alert.id: alert.clinician_id for alert in alerts}
    for webhook in received_webhooks:
        clinician = UUID(webhook.path.rsplit("/", 1)[1])
        if clinician_by_alert.get(json.loads(webhook.body)["alert_id"]) != clinician or not _is_signed(
            webhook, clinician
        ):
            differences.append(f"webhook to {webhook.path}")
    return differences


def _is_to_clinician(
    email: ReceivedEmail, clinician_by_delivery: Mapping[UUID, UUID], clinicians: Mapping[UUID, Clinician]
) -> bool:
    clinician = clinician_by_delivery.get(_delivery_id(email))
    return clinician is not None and email.recipients == (clinicians[clinician].email,)


def _is_signed(webhook: ReceivedWebhook, clinician: UUID) -> bool:
    """Whether the signature was valid on arrival. The library only verifies against the current time."""
    headers = webhook.headers
    try:
        signed_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        signature = Webhook(webhook_secret(clinician)).sign(headers["webhook-id"], signed_at, webhook.body.decode())
    except (KeyError, ValueError):
        return False
    return headers.get("webhook-signature") == signature and abs(webhook.received_at - signed_at) < MAX_SIGNATURE_AGE


def identifying_messages(
    received_emails: Iterable[ReceivedEmail], received_webhooks: Iterable[ReceivedWebhook], case_codes: Collection[str]
) -> list[str]:
    """Messages that contain a case code, or no link."""
    texts = [email.text for email in received_emails] + [
        f"{webhook.headers} {webhook.body.decode()}" for webhook in received_webhooks
    ]
    return [
        text for text in texts if any(case_code in text for case_code in case_codes) or not re.search("https?://", text)
    ]


def _delivery_id(email: ReceivedEmail) -> UUID:
    """The id of the delivery, the same for every attempt."""
    return UUID(str(email.message["Message-ID"]).strip("<>").partition("@")[0])
