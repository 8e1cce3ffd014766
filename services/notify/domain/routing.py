"""Which messages an alert needs, derived from its current state and never from what just changed.

So nothing is lost between two steps: planning again gives the same deliveries under the same ids. A message is sent
when an alert reaches `concern` or `urgent`, and once more when it escalates from `concern` to `urgent`. Alerts of
severity `watch`, those repaired, retracted, acknowledged or resolved, and those that reached their severity in
retrospect, are only shown in the inbox; the next sign of an alert that was found in retrospect is sent.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, get_args
from uuid import UUID, uuid5

from pydantic import ConfigDict

from services.notify.domain.alert import Alert
from shared.access.clinic_id import ClinicId
from shared.runtime.model import Model

ChannelName = Literal["email", "webhook"]
CHANNEL_NAMES: tuple[ChannelName, ...] = get_args(ChannelName)
AlertChange = Literal["raised", "rose"]
DeliveryOutcome = Literal["sent", "rejected", "failed", "retried", "unknown", "not_needed"]
"""The outcome of one attempt: `unknown` means that the message may have arrived, `failed` that it was given up."""

MAX_RETRY_WAIT = timedelta(hours=1)
"""Between two attempts: a mail server that is repaired in the morning gets its mail before noon."""
UNKNOWN_OUTCOME_WAIT = timedelta(hours=1)
"""Before a message that may have arrived is sent again: a slow receiver may have recovered by then."""
MAX_UNKNOWN_ATTEMPTS = 3
"""After this many attempts with an unknown outcome the message is not sent again; the alert is also in the inbox."""


class WebhookAddress(Model):
    """The URL of a clinic's own system, and the secret that signs the requests to it."""

    model_config = ConfigDict(frozen=True)

    url: str
    secret: str


class ChannelAddresses(Model):
    """The addresses of a clinician, one field for each `ChannelName`. They are never published in events."""

    model_config = ConfigDict(frozen=True)

    email: str | None = None
    webhook: WebhookAddress | None = None

    def names(self) -> list[ChannelName]:
        """The channels that have an address."""
        return [name for name in CHANNEL_NAMES if getattr(self, name) is not None]


class Delivery(Model):
    """One message to a clinician, about one change of one alert, through one channel."""

    model_config = ConfigDict(frozen=True)

    alert_id: UUID
    clinic_id: ClinicId | None = None
    """That of the alert; None in documents of older versions until it is filled in."""
    clinician_id: UUID
    channel: ChannelName
    change: AlertChange

    @property
    def id(self) -> UUID:
        """The same each time it is planned; receivers get it and can drop duplicates."""
        return uuid5(self.alert_id, f"{self.change}:{self.channel}")


def notifiable_change(alert: Alert) -> AlertChange | None:
    """The change that the clinician must be sent for the current alert; None when the inbox is enough."""
    if alert.status != "open" or alert.severity == "watch" or not alert.steps[alert.severity].is_notifiable:
        return None
    was_concern = any(severity == "concern" for severity, _ in alert.escalations)
    return "rose" if alert.severity == "urgent" and was_concern else "raised"


def is_recent(alert: Alert, now: datetime, max_age: timedelta) -> bool:
    """Whether its last sign is recent: nobody is sent a message about history, an import or a rebuild."""
    return now - alert.episode.last_sign_at <= max_age


def plan_deliveries(alert: Alert, addresses: Mapping[UUID, ChannelAddresses]) -> list[Delivery]:
    """The deliveries that the current alert needs: one for each channel of its clinician."""
    change = notifiable_change(alert)
    if change is None or alert.clinician_id is None:
        return []
    return [
        Delivery(
            alert_id=alert.id,
            clinic_id=alert.clinic_id,
            clinician_id=alert.clinician_id,
            channel=name,
            change=change,
        )
        for name in addresses.get(alert.clinician_id, ChannelAddresses()).names()
    ]


def retry_wait(attempts: int, first_wait: timedelta, retry_after: timedelta = timedelta(0)) -> timedelta:
    """The wait after that many failed attempts: it doubles each time, up to an hour.

    `retry_after` is the least that the receiver asks for; it may lengthen the wait, but not beyond the hour.
    """
    factor: int = 2 ** min(attempts - 1, 20)
    return min(MAX_RETRY_WAIT, max(retry_after, first_wait * factor))
