"""The channels that reach a clinician who is not looking at the inbox.

An attempt has one of four outcomes: accepted, failed (retried later), rejected permanently, or unknown.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypedDict
from uuid import UUID

from services.notify.domain.episode import EpisodeEnd
from services.notify.domain.routing import AlertChange, ChannelAddresses
from shared.errors import Permanent, Transient
from shared.events import Severity


class DeliveryFailed(Transient):
    """The receiver did not accept the message. It is retried. The error text holds codes, never an address."""

    def __init__(self, reason: str, retry_after: timedelta = timedelta(0)) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        """How long the receiver asks to wait."""


class DeliveryUnknown(Transient):
    """The receiver had the whole message but its response was lost. It is retried late, and only a few times."""


class AddressRejected(Permanent):
    """The receiver rejected the address permanently. The message is not retried."""


@dataclass(frozen=True)
class Notification:
    """What is sent: that there is an alert, and where to see it; nothing that identifies the client."""

    delivery_id: UUID
    """The same at every attempt, so that receivers can drop duplicates."""
    sent_at: datetime
    """When this attempt began, by the database's clock: receivers reject a signature with a wrong time."""
    alert_id: UUID
    change: AlertChange
    severity: Severity
    url: str
    end_reason: EpisodeEnd | None = None
    """Why the episode has ended, if the clinician must read about it all the same."""


class Channel(Protocol):
    """One way to send messages to clinicians."""

    async def send(self, notification: Notification, addresses: ChannelAddresses) -> None:
        """Return when the receiver accepted it. Raises DeliveryFailed, DeliveryUnknown and AddressRejected."""


class ChannelsByName(TypedDict):
    """Every channel under its `ChannelName`; the type check fails while one is missing."""

    email: Channel
    webhook: Channel
