"""The ways to reach a clinician who is not looking at the inbox.

A channel says one of four things: the receiver took it, it may take it later, it never will, or nobody knows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.notify.domain.routing import AlertChange, ChannelAddresses, ChannelName
from shared.errors import Permanent, Transient
from shared.events import Severity


class DeliveryFailed(Transient):
    """The receiver did not take it; it is tried again. Its text holds codes, never an address."""


class DeliveryUnknown(Transient):
    """The receiver has all of it and did not say whether it took it. It is tried again late, and seldom."""


class AddressRejected(Permanent):
    """The receiver says that this address is wrong for good; it is not tried again."""


@dataclass(frozen=True)
class Notification:
    """What is told: that there is something to look at, and where; nothing about whom."""

    delivery_id: UUID
    """The same at every try, so that a receiver can drop a copy."""
    sent_at: datetime
    """When this try began, by the clock that all share: receivers refuse what is signed at a wrong time."""
    alert_id: UUID
    change: AlertChange
    severity: Severity
    url: str


class Channel(Protocol):
    """One way to reach somebody."""

    async def send(self, notification: Notification, addresses: ChannelAddresses) -> None:
        """Return when the receiver took it. Raises NotDelivered, AnswerLost and AddressRefused."""


ChannelsByName = Mapping[ChannelName, Channel]
