"""The evidence that a run leaves for the checker: acknowledged requests, injected faults, and addresses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.events import Event
from tests.system.support.poison import PoisonMessage
from tools.sandbox.network.course import Clinician
from tools.sandbox.network.credentials import Credentials
from tools.sandbox.network.ledger import AcknowledgedRequest
from tools.sandbox.network.receivers import ReceivedEmail, ReceivedWebhook


@dataclass(frozen=True)
class Fault:
    """A fault that was injected into the system, from its start until it was removed."""

    kind: str
    target: str
    started_at: datetime
    ended_at: datetime
    recovery_seconds: float | None
    """Seconds from its end until every service was ready and every consumer had caught up; None if never."""
    fault_point: str = ""
    """The exact step of a batch or a write, if the fault was injected at one."""

    def __str__(self) -> str:
        return f"{self.target} {self.kind}" + (f": {self.fault_point}" if self.fault_point else "")


@dataclass(frozen=True)
class Evidence:
    """All that the checker needs. The stack is still running, and idle."""

    started_at: datetime
    requests: Sequence[AcknowledgedRequest]
    injected_events: Sequence[Event]
    """Events that were published past all services; they count as acknowledged."""
    poison: Sequence[PoisonMessage]
    faults: Sequence[Fault]
    clinicians: Mapping[UUID, Clinician]
    received_emails: Sequence[ReceivedEmail]
    received_webhooks: Sequence[ReceivedWebhook]
    bootstrap_servers: str
    mongodb_uri: str
    """The database of each service is `attune_<service>`."""
    credentials: Credentials
    """Of all clinics and clinicians."""
    urls: Mapping[str, str]
    """The API of one process of each service."""
    ops_urls: Mapping[str, str]
    """The ops listener of the same processes."""
