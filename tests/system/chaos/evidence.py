"""What a run leaves behind for the judge: what clients were told, what was done to the system, and where to look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.events import Event
from tests.system.support.poison import Poison
from tools.sandbox.network.course import Clinician
from tools.sandbox.network.ledger import Taken
from tools.sandbox.network.receivers import Hook, Mail


@dataclass(frozen=True)
class Fault:
    """Something that was done to the system, from its beginning until it was undone."""

    kind: str
    target: str
    begun: datetime
    ended: datetime
    recovered: float | None
    """Seconds from its end until every service was ready and every consumer had caught up; none if never."""
    point: str = ""
    """The moment in a batch or a write, where it was hit exactly."""

    def __str__(self) -> str:
        return f"{self.target} {self.kind}" + (f": {self.point}" if self.point else "")


@dataclass(frozen=True)
class Evidence:
    """All that the judge needs. The stack still runs, and is at rest."""

    since: datetime
    taken: Sequence[Taken]
    injected: Sequence[Event]
    """Facts that were put on their topics past every service; they count as told."""
    planted: Sequence[Poison]
    faults: Sequence[Fault]
    clinicians: Mapping[UUID, Clinician]
    mails: Sequence[Mail]
    hooks: Sequence[Hook]
    kafka: str
    mongodb: str
    """A URI; each service keeps its database under `attune_<service>`."""
    urls: Mapping[str, str]
    """One process of each service."""
