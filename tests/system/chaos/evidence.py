"""What a run leaves behind for the judge: what clients were told, what was done to the system, and where to look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.events import Event
from tests.system.support.poison import PoisonMessage
from tools.sandbox.network.course import Clinician
from tools.sandbox.network.ledger import AcknowledgedRequest
from tools.sandbox.network.receivers import ReceivedEmail, ReceivedWebhook


@dataclass(frozen=True)
class Fault:
    """Something that was done to the system, from its beginning until it was undone."""

    kind: str
    target: str
    started_at: datetime
    ended_at: datetime
    recovery_seconds: float | None
    """Seconds from its end until every service was ready and every consumer had caught up; none if never."""
    fault_point: str = ""
    """The moment in a batch or a write, where it was hit exactly."""

    def __str__(self) -> str:
        return f"{self.target} {self.kind}" + (f": {self.fault_point}" if self.fault_point else "")


@dataclass(frozen=True)
class Evidence:
    """All that the judge needs. The stack still runs, and is at rest."""

    started_at: datetime
    requests: Sequence[AcknowledgedRequest]
    injected_events: Sequence[Event]
    """Facts that were put on their topics past every service; they count as told."""
    poison: Sequence[PoisonMessage]
    faults: Sequence[Fault]
    clinicians: Mapping[UUID, Clinician]
    received_emails: Sequence[ReceivedEmail]
    received_webhooks: Sequence[ReceivedWebhook]
    bootstrap_servers: str
    mongodb_uri: str
    """A URI; each service keeps its database under `attune_<service>`."""
    urls: Mapping[str, str]
    """One process of each service."""
