"""What notify must remember: its view of the events (`Store`), and its deliveries (`DeliveryStore`).

Every method raises StoreUnavailable; then it is unknown whether it wrote, and repeating it is safe.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

from services.notify.domain.alert import Alert, Status
from services.notify.domain.relationship import Relationship
from services.notify.domain.routing import ChannelAddresses, ChannelName, Delivery, DeliveryOutcome
from shared.access.clinic_id import ClinicId
from shared.clinics.backfill import UnknownClinics
from shared.events import ClinicianRegistered, ClinicianUpdated, Severity
from shared.outbox.documents import Change, Decide, Versioned

ACTIVE_STATUSES: tuple[Status, ...] = ("open", "acknowledged")
DUE_IMMEDIATELY = datetime(1970, 1, 1, tzinfo=UTC)
"""When a delivery is due that was not attempted yet: earlier than any clock."""

AlertCounts = dict[tuple[Severity, Status], tuple[int, datetime | None]]
"""How many alerts there are by severity and status, and the oldest last sign among them."""


@dataclass(frozen=True)
class InboxCounts:
    """How many alerts one clinician has."""

    active: int
    """Open or acknowledged."""
    total: int


@dataclass(frozen=True)
class ClaimedDelivery:
    """A delivery that one worker owns until its lease ends."""

    delivery: Delivery
    attempts: int
    """Including this one; the number identifies the claim."""
    claimed_at: datetime
    """By the clock of the store."""
    planned_at: datetime
    unknown_attempts: int = 0
    """How many earlier attempts had an unknown outcome."""


class Store(Protocol):
    """Stores alerts and what they are derived from. Every method is idempotent.

    Event handlers and HTTP requests write the same alerts. Each alert and each relationship has a version, which every
    write increments. A write is atomic for one of them, and has no effect if another writer was faster.

    What serves a request takes its clinic first: what belongs to another clinic, or to one that is not known yet, is as
    if it did not exist. None means every clinic.
    """

    async def load_relationships(self, ids: Collection[UUID]) -> dict[UUID, Versioned[Relationship]]:
        """The latest state of each; an empty one at version 0 if there is none."""

    async def save_relationships(self, changed: Sequence[Versioned[Relationship]]) -> set[UUID]:
        """Write each if its version is still the stored one; return the ids of the others, the conflicts."""

    async def load_versioned_alerts(
        self, alert_ids: Iterable[UUID], relationships: Iterable[UUID], withdrawn: Iterable[UUID] = ()
    ) -> list[Versioned[Alert]]:
        """The alerts with these ids, those of `relationships` that may change, and every alert of those in `withdrawn`.

        An alert may change while it is active, and also resolved while the alliance names its episode as open.
        """

    async def save_alerts(self, changed: Sequence[Versioned[Alert]]) -> set[UUID]:
        """Write each if its version is still the stored one; return the ids of the others, the conflicts.

        An alert that was erased since it was loaded is a conflict too: it is not written again.
        """

    async def now(self) -> datetime:
        """The time by the clock of the store, which all processes share."""

    async def remove_past_alerts(self, retained_since: datetime) -> int:
        """Delete the alerts that are past retention, without those whose events are pending; return how many."""

    async def erase_alerts(self, relationships: Collection[UUID]) -> None:
        """Delete the alerts of erased clients, with their pending events."""

    async def load_alerts(self, ids: Collection[UUID]) -> dict[UUID, Alert]:
        """The alerts with these ids; those that do not exist are missing."""

    async def find_alert(self, clinic: ClinicId | None, alert_id: UUID) -> Alert | None:
        """The alert, or None."""

    async def find_relationships(self, clinic: ClinicId | None, ids: Collection[UUID]) -> Mapping[UUID, Relationship]:
        """The relationships that are known, by id."""

    async def change_alert(self, clinic: ClinicId | None, alert_id: UUID, decide: Decide[Alert]) -> Change[Alert]:
        """Write what `decide` makes of the alert together with its events, in one atomic write.

        After a concurrent write, `decide` is called again. Raises what `decide` raises; then nothing was written.
        """

    async def list_inbox_alerts(
        self, clinic: ClinicId | None, clinician_id: UUID, limit: int, skip: int = 0
    ) -> list[Alert]:
        """The clinician's alerts, without the first `skip`: open first, most severe first, then the latest.

        Those whose client withdrew consent are neither listed nor counted.
        """

    async def count_inbox_alerts(self, clinic: ClinicId | None, clinician_id: UUID) -> InboxCounts:
        """How many alerts the clinician has."""

    async def list_alerts_to_send(self, clinic: ClinicId | None, clinician_id: UUID, since: datetime) -> list[Alert]:
        """The clinician's active alerts whose last sign is not before `since`."""

    async def list_active_alerts(self, since: datetime) -> list[Alert]:
        """The active alerts of all clinicians whose last sign is not before `since`."""

    async def count_active_alerts(self) -> AlertCounts:
        """How many alerts are open and how many acknowledged, by severity."""

    async def save_clinicians(self, clinicians: Iterable[ClinicianRegistered | ClinicianUpdated]) -> None:
        """Save the latest event of each clinician, unless a later one is stored."""

    async def find_time_zone(self, clinic: ClinicId | None, clinician_id: UUID) -> str | None:
        """The name of the clinician's time zone; None while no event of the clinician has arrived."""

    async def load_channels(self, clinicians: Collection[UUID]) -> Mapping[UUID, ChannelAddresses]:
        """The addresses of each clinician; those without any are missing."""

    async def save_channels(self, clinic: ClinicId | None, clinician_id: UUID, addresses: ChannelAddresses) -> bool:
        """Replace the addresses of the clinician; False if the clinic has no such clinician, and nothing is written."""

    async def count_unknown_clinics(self) -> UnknownClinics:
        """How many relationships, clinicians and alerts have no clinic yet, without those of erased clients."""

    async def list_unknown_clinics(self, after: UUID | None, limit: int) -> list[UUID]:
        """The next relationships, sorted, of alerts without a clinic; none only at the end."""

    async def fill_in_clinics(self, clinics: Mapping[UUID, ClinicId]) -> None:
        """Give the alerts without a clinic that of their relationship."""


class DeliveryStore(Protocol):
    """Stores what must be delivered, and the outcomes.

    One clock, that of the store, decides what is due. So a process with a wrong clock neither claims early nor defers
    too long. Every method is atomic for one delivery, and all but `claim` are idempotent.
    """

    async def add(self, deliveries: Sequence[Delivery], now: datetime) -> None:
        """Add each delivery once, due immediately; one that exists already, also a completed one, stays as it is."""

    async def claim(self, channel: ChannelName, lease: timedelta, *, include_expired: bool) -> ClaimedDelivery | None:
        """Claim the delivery through `channel` that has been due for longest, for the time of `lease`.

        None when nothing is due.

        Of several workers, one gets it. With `include_expired`, a delivery that another worker claimed and did not
        renew in time can be claimed too; its previous owner has lost the claim.
        """

    async def renew(self, claimed: ClaimedDelivery, lease: timedelta) -> bool:
        """Let the lease end `lease` from now; False when the claim was lost."""

    async def complete(self, claimed: ClaimedDelivery, outcome: DeliveryOutcome) -> None:
        """Record the final outcome; it is never due again. Has no effect when the claim was lost."""

    async def schedule_retry(self, claimed: ClaimedDelivery, wait: timedelta, unknown_attempts: int) -> None:
        """Make it due again after `wait`, and record how many attempts had an unknown outcome.

        Has no effect when the claim was lost.
        """

    async def cancel(self, claimed: ClaimedDelivery) -> None:
        """Delete a delivery that is no longer needed, so that it can be added again.

        Has no effect when the claim was lost.
        """

    async def reopen_failed(self, clinic: ClinicId | None, clinician_id: UUID, since: datetime, now: datetime) -> None:
        """Make the clinician's failed and rejected deliveries that were planned since `since` due immediately."""

    async def list_completed(self, before: datetime, after: UUID | None, limit: int) -> list[Delivery]:
        """The first deliveries behind the id `after` that were completed before `before`, by the clock of the store."""

    async def remove_completed(self, ids: Collection[UUID]) -> int:
        """Delete these deliveries, without those that are due again; return how many."""

    async def count_due(self) -> tuple[int, datetime | None]:
        """How many deliveries are not completed, and when the oldest of them was planned."""

    async def list_unknown_clinics(self, after: UUID | None, limit: int) -> list[UUID]:
        """The next alerts, sorted, of deliveries without a clinic; none only at the end."""

    async def fill_in_clinics(self, clinics: Mapping[UUID, ClinicId]) -> None:
        """Give the deliveries without a clinic that of their alert."""
