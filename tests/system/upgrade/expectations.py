"""The expected state after the current code has run on the recording.

The recorder stored it with the data. It contains no identifiers of the code, only ids, event types and topics.
"""

from typing import Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict

DeliveryReason: TypeAlias = Literal["its lease expires", "its retry is due", "it was not tried yet"]


class Item(BaseModel):
    """One expectation."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OutboxEntry(Item):
    """An event that was acknowledged to a client but not published; it must be published."""

    service: str
    topic: str
    type: str
    event: UUID


class Delivery(Item):
    """A message that must reach its clinician, once."""

    id: UUID
    """Receivers see it as Message-ID or webhook-id."""
    channel: str
    why: DeliveryReason


class FailedDelivery(Item):
    """A message that was given up; it must not be sent."""

    id: UUID
    outcome: str


class Form(Item):
    """One person's feedback on one session."""

    session: UUID
    rater: str


class Link(Item):
    """The link to a form, and the expected HTTP status."""

    token: str
    status: int


class Alert(Item):
    """An alert that the inbox of its clinician must show."""

    relationship: UUID
    clinician: UUID
    alert: UUID | None = None
    """None if it is not raised yet."""
    severities: tuple[str, ...]
    """The allowed severities."""
    status: str


class DeadLetter(Item):
    """An undecodable record, and how an operator resolved it."""

    consumer: str
    origin: str
    """topic/partition/offset."""
    settled: str | None
    """None while it is open."""


class Expectations(Item):
    """All expectations."""

    outbox: tuple[OutboxEntry, ...]
    deliveries: tuple[Delivery, ...]
    failed: tuple[FailedDelivery, ...]
    lapses: tuple[Form, ...]
    """Unanswered forms that are due soon after loading."""
    awaited: tuple[Form, ...]
    """Forms that may still be answered."""
    links: tuple[Link, ...]
    lag: dict[str, int]
    """Records that each consumer group had not consumed."""
    unchanged: tuple[Alert, ...]
    """Alerts that do not change."""
    changed: tuple[Alert, ...]
    """Alerts that the unfinished work raises or changes."""
    dead_letters: tuple[DeadLetter, ...]
    """The recorded ones, and those of undecodable records in the lag."""
