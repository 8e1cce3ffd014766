"""Who hears what, when: derived from how things stand now, never from what just changed.

So nothing is lost between two steps: whoever asks again gets the same answer, under the same ids. A message goes out
when an alert comes to be of concern or urgent, and once more when it rises from one to the other. `watch` stands
in the inbox only, and so does whatever was repaired, retracted, acknowledged or resolved.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict

from services.notify.domain.alert import Alert

ChannelName = Literal["email", "webhook"]
AlertChange = Literal["raised", "rose"]

MAX_RETRY_WAIT = timedelta(hours=1)
"""Between two tries: who repairs a mail server in the morning has its mail before noon."""


UNKNOWN_OUTCOME_WAIT = timedelta(hours=1)
"""Before a message that may have arrived is sent again: a receiver that is slow now may be quicker then."""
MAX_UNKNOWN_ATTEMPTS = 3
"""As many times may a message have arrived; then it is left at that, for it stands in the inbox as well."""


class WebhookAddress(BaseModel):
    """Where a clinic's own system is told, and the secret that shows it that we told it."""

    model_config = ConfigDict(frozen=True)

    url: str
    secret: str


class ChannelAddresses(BaseModel):
    """Where a clinician is reached. Addresses live here and travel nowhere."""

    model_config = ConfigDict(frozen=True)

    email: str | None = None
    webhook: WebhookAddress | None = None

    def names(self) -> Iterator[ChannelName]:
        if self.email is not None:
            yield "email"
        if self.webhook is not None:
            yield "webhook"


class Delivery(BaseModel):
    """That a clinician is told of one change of one alert through one channel."""

    model_config = ConfigDict(frozen=True)

    alert_id: UUID
    clinician_id: UUID
    channel: ChannelName
    change: AlertChange

    @property
    def id(self) -> UUID:
        """The same however often it is owed; receivers see it, so that they can drop a copy."""
        return uuid5(self.alert_id, f"{self.change}:{self.channel}")


def notifiable_change(alert: Alert) -> AlertChange | None:
    """What the clinician needs to hear of as the alert stands; none when the inbox is enough."""
    if alert.status != "open" or alert.severity == "watch":
        return None
    was_concern = any(severity == "concern" for severity, _ in alert.escalations)
    return "rose" if alert.severity == "urgent" and was_concern else "raised"


def is_recent(alert: Alert, now: datetime, max_age: timedelta) -> bool:
    """Whether its last sign is recent: nobody is called about history, an import or a rebuild."""
    return now - alert.said.last_sign_at <= max_age


def plan_deliveries(alert: Alert, addresses: Mapping[UUID, ChannelAddresses]) -> list[Delivery]:
    """What is owed for the alert as it stands, to its clinician by each way there is."""
    change = notifiable_change(alert)
    if change is None or alert.clinician_id is None:
        return []
    return [
        Delivery(alert_id=alert.id, clinician_id=alert.clinician_id, channel=name, change=change)
        for name in addresses.get(alert.clinician_id, ChannelAddresses()).names()
    ]


def retry_wait(attempts: int, first_wait: timedelta) -> timedelta:
    """How long to wait after so many tries in vain: twice as long each time, up to an hour."""
    factor: int = 2 ** min(attempts - 1, 20)
    return min(MAX_RETRY_WAIT, first_wait * factor)
