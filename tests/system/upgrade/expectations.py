"""What must become of the recording once today's code runs on it, each thing by its name.

The recorder writes it beside the data. Nothing in it is an identifier of the code: only ids, event types and topics.
"""

from typing import Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict

Why: TypeAlias = Literal["its lease expires", "its retry is due", "it was not tried yet"]


class Item(BaseModel):
    """One expectation."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OutboxEntry(Item):
    """An event that was acknowledged to a client and not published: it must be published."""

    service: str
    topic: str
    type: str
    event: UUID


class Delivery(Item):
    """A message that must reach its clinician, once."""

    id: UUID
    """Receivers see it as Message-ID or webhook-id."""
    channel: str
    why: Why


class FailedDelivery(Item):
    """A message that was given up and must not be sent any more."""

    id: UUID
    outcome: str


class Form(Item):
    """One person's feedback on one session."""

    session: UUID
    rater: str


class Link(Item):
    """The link to a form, and the status with which it must be answered."""

    token: str
    status: int


class Alert(Item):
    """An alert as the inbox of its clinician must show it."""

    relationship: UUID
    clinician: UUID
    alert: UUID | None = None
    """None where it is still to be raised."""
    severities: tuple[str, ...]
    """One of these."""
    status: str


class DeadLetter(Item):
    """A record that nobody could decode, and what a person did about it."""

    consumer: str
    origin: str
    """topic/partition/offset."""
    settled: str | None
    """None while it is open."""


class Expectations(Item):
    """Everything that must be so."""

    outbox: tuple[OutboxEntry, ...]
    deliveries: tuple[Delivery, ...]
    failed: tuple[FailedDelivery, ...]
    lapses: tuple[Form, ...]
    """Forms that nobody answered: their time runs out soon after loading."""
    awaited: tuple[Form, ...]
    """Forms that may still be answered."""
    links: tuple[Link, ...]
    lag: dict[str, int]
    """Records that each consumer group had not consumed."""
    unchanged: tuple[Alert, ...]
    """Alerts that stand as they did."""
    changed: tuple[Alert, ...]
    """Alerts that what was left over raises or changes."""
    dead_letters: tuple[DeadLetter, ...]
    """Those that there were, and those that the lag holds."""
