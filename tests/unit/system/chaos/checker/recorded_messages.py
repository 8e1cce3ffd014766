"""The messages that reached the clinician of a recorded run."""

from datetime import datetime
from email.message import EmailMessage
from uuid import UUID, uuid5

from standardwebhooks import Webhook

from tests.unit.system.chaos.checker.recorded_requests import CLINIC_ID, NOW
from tools.sandbox.network.clinic_systems import webhook_secret
from tools.sandbox.network.receivers import ReceivedEmail, ReceivedWebhook


def create_email(alert_id: UUID, recipient: str = "ours@example.org", received_at: datetime = NOW) -> ReceivedEmail:
    message = EmailMessage()
    message["Message-ID"] = f"<{uuid5(alert_id, 'raised:email')}@localhost>"
    message.set_content("http://here/inbox")
    return ReceivedEmail((recipient,), message, received_at)


def create_webhook(alert_id: UUID, received_at: datetime = NOW) -> ReceivedWebhook:
    body = f'{{"type": "alert.raised", "alert_id": "{alert_id}", "url": "http://here/inbox"}}'
    headers = {
        "webhook-id": "1",
        "webhook-timestamp": str(int(received_at.timestamp())),
        "webhook-signature": Webhook(webhook_secret(CLINIC_ID)).sign("1", received_at, body),
    }
    return ReceivedWebhook(f"/{CLINIC_ID}", headers, body.encode(), received_at)
