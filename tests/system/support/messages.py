"""What clinicians were sent, against what the inbox says they were owed."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from standardwebhooks import Webhook

from tests.system.smoke.checker import Alert
from tools.sandbox.network.clinic_systems import secret
from tools.sandbox.network.course import Clinician
from tools.sandbox.network.receivers import Hook, Mail

FRESH = timedelta(days=7)  # older signs are history; the default of the notify service
CHANGES = ("raised", "rose")
SIGNED_WITHIN = timedelta(minutes=5)  # receivers refuse what was signed longer ago (standardwebhooks.com)


@dataclass(frozen=True, order=True)
class Message:
    """That a clinician was told of one change of one alert in one way."""

    channel: str
    alert: str
    change: str


def received(mails: Iterable[Mail], hooks: Iterable[Hook], alerts: Iterable[Alert]) -> list[Message]:
    """Every message that arrived; what belongs to no alert has none."""
    deliveries = {
        uuid5(UUID(alert.id), f"{change}:email"): Message("email", alert.id, change)
        for alert in alerts
        for change in CHANGES
    }
    found = [deliveries.get(_delivery(mail), Message("email", "of no alert", "")) for mail in mails]
    bodies = [json.loads(hook.body) for hook in hooks]
    return found + [Message("webhook", body["alert_id"], body["type"].removeprefix("alert.")) for body in bodies]


def amiss(
    messages: Sequence[Message], alerts: Iterable[Alert], clinicians: Mapping[UUID, Clinician], now: datetime
) -> list[str]:
    """Messages that were owed and did not come, and those that came and were not owed, or came again.

    Owed is one for each alert that is open, of concern or urgent, and whose last sign is fresh. One that was taken
    back so quickly that nobody was told is no fault, nor is a second message when it rose.
    """
    said = Counter(messages)
    found = [f"came {count} times: {message}" for message, count in said.items() if count > 1]
    by_id = {alert.id: alert for alert in alerts}
    for message in said:
        alert = by_id.get(message.alert)
        if alert is None or alert.severity == "watch" or now - alert.last_sign_at > FRESH:
            found.append(f"not owed: {message} about {alert}")
        elif message.channel not in channels_of(clinicians[alert.clinician]):
            found.append(f"not asked for: {message}")
    for alert in by_id.values():
        owed = alert.status == "open" and alert.severity != "watch" and now - alert.last_sign_at < FRESH
        found += [
            f"did not come by {channel}: {alert}"
            for channel in (channels_of(clinicians[alert.clinician]) if owed else ())
            if not any(Message(channel, alert.id, change) in said for change in CHANGES)
        ]
    return found


def channels_of(clinician: Clinician) -> set[str]:
    """How a clinician wants to be told."""
    return {name for name, has in (("email", clinician.email), ("webhook", clinician.webhook)) if has}


def to_the_wrong_one(
    mails: Iterable[Mail], hooks: Iterable[Hook], alerts: Sequence[Alert], clinicians: Mapping[UUID, Clinician]
) -> list[str]:
    """Messages that reached somebody else than the clinician of their alert, and webhooks that nobody signed."""
    by_mail = {uuid5(UUID(alert.id), f"{change}:email"): alert.clinician for alert in alerts for change in CHANGES}
    wrong = [f"mail to {mail.to}" for mail in mails if not _is_to(mail, by_mail, clinicians)]
    whose = {alert.id: alert.clinician for alert in alerts}
    for hook in hooks:
        clinician = UUID(hook.path.rsplit("/", 1)[1])
        if whose.get(json.loads(hook.body)["alert_id"]) != clinician or not _is_signed(hook, clinician):
            wrong.append(f"webhook to {hook.path}")
    return wrong


def _is_to(mail: Mail, by_mail: Mapping[UUID, UUID], clinicians: Mapping[UUID, Clinician]) -> bool:
    clinician = by_mail.get(_delivery(mail))
    return clinician is not None and mail.to == (clinicians[clinician].email,)


def _is_signed(hook: Hook, clinician: UUID) -> bool:
    """As its receiver would have found when it came; the library looks at the clock, and so only knows now."""
    headers = hook.headers
    try:
        signed_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        signature = Webhook(secret(clinician)).sign(headers["webhook-id"], signed_at, hook.body.decode())
    except (KeyError, ValueError):
        return False
    return headers.get("webhook-signature") == signature and abs(hook.at - signed_at) < SIGNED_WITHIN


def telling(mails: Iterable[Mail], hooks: Iterable[Hook], secrets: Collection[str]) -> list[str]:
    """Messages that hold a case code or a name, or no link."""
    texts = [mail.text for mail in mails] + [f"{hook.headers} {hook.body.decode()}" for hook in hooks]
    return [text for text in texts if any(word in text for word in secrets) or not re.search("https?://", text)]


def _delivery(mail: Mail) -> UUID:
    """The id of the message, the same at every try."""
    return UUID(str(mail.message["Message-ID"]).strip("<>").partition("@")[0])
