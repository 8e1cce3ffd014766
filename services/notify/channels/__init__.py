"""The ways to reach a clinician who is not looking at the inbox.

A channel says one of three things: the receiver took it, it may take it later, or it never will.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from services.notify.domain.routing import Change, ChannelName, Channels
from shared.errors import Permanent, Transient
from shared.events import Severity


class NotDelivered(Transient):
    """The receiver did not take it; it is tried again. Its text holds codes, never an address."""


class AddressRefused(Permanent):
    """The receiver says that this address is wrong for good; it is not tried again."""


@dataclass(frozen=True)
class Notice:
    """What is told: that there is something to look at, and where; nothing about whom."""

    delivery_id: UUID
    """The same at every try, so that a receiver can drop a copy."""
    alert_id: UUID
    change: Change
    severity: Severity
    url: str


class Channel(Protocol):
    """One way to reach somebody."""

    async def send(self, notice: Notice, to: Channels) -> None:
        """Return when the receiver took it. Raises NotDelivered and AddressRefused."""


Outlets = Mapping[ChannelName, Channel]
