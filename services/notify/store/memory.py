"""The stores of notify in memory, with the same promises as those in MongoDB; for tests."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel

from services.notify.domain.alert import Alert
from services.notify.domain.relationship import Relationship
from services.notify.domain.retention import is_named, is_past_retention
from services.notify.domain.routing import ChannelAddresses, ChannelName, Delivery, DeliveryOutcome
from services.notify.store.protocol import (
    ACTIVE_STATUSES,
    DUE_IMMEDIATELY,
    AlertCounts,
    ClaimedDelivery,
    InboxCounts,
)
from shared.access.clinic_id import ClinicId
from shared.clinics.backfill import UnknownClinics
from shared.errors import IdTaken
from shared.events import ClinicianRegistered, ClinicianUpdated, Event
from shared.events.model import SEVERITY_RANK
from shared.outbox.documents import Change, Decide, Versioned
from shared.runtime.clock import now

T = TypeVar("T", bound=BaseModel)


@dataclass
class InMemoryStore:
    """A store in memory."""

    relationships: dict[UUID, Versioned[Relationship]] = field(default_factory=dict)
    alerts: dict[UUID, Versioned[Alert]] = field(default_factory=dict)
    clinicians: dict[UUID, ClinicianRegistered | ClinicianUpdated] = field(default_factory=dict)
    channels: dict[UUID, ChannelAddresses] = field(default_factory=dict)
    pending_events: list[Event] = field(default_factory=list)
    """The events of `change_alert`, which nobody publishes."""
    clock: Callable[[], datetime] = now

    async def load_relationships(self, ids: Collection[UUID]) -> dict[UUID, Versioned[Relationship]]:
        return {r: self.relationships.get(r) or Versioned(r, Relationship(relationship_id=r)) for r in ids}

    async def save_relationships(self, changed: Sequence[Versioned[Relationship]]) -> set[UUID]:
        return _save(self.relationships, changed)

    async def load_versioned_alerts(
        self, alert_ids: Iterable[UUID], relationships: Iterable[UUID], withdrawn: Iterable[UUID] = ()
    ) -> list[Versioned[Alert]]:
        ids, relationship_ids, withdrawn_ids = set(alert_ids), set(relationships), set(withdrawn)
        return [
            stored
            for stored in self.alerts.values()
            if stored.id in ids
            or stored.value.relationship_id in withdrawn_ids
            or (stored.value.relationship_id in relationship_ids and (stored.value.is_active or is_named(stored.value)))
        ]

    async def save_alerts(self, changed: Sequence[Versioned[Alert]]) -> set[UUID]:
        return _save(self.alerts, changed)

    async def now(self) -> datetime:
        return self.clock()

    async def remove_past_alerts(self, retained_since: datetime) -> int:
        past = [i for i, stored in self.alerts.items() if is_past_retention(stored.value, retained_since)]
        for alert_id in past:
            del self.alerts[alert_id]
        return len(past)

    async def erase_alerts(self, relationships: Collection[UUID]) -> None:
        for alert in [stored.value for stored in self.alerts.values() if stored.value.relationship_id in relationships]:
            del self.alerts[alert.id]

    async def load_alerts(self, ids: Collection[UUID]) -> dict[UUID, Alert]:
        return {i: self.alerts[i].value for i in ids if i in self.alerts}

    async def find_alert(self, clinic: ClinicId | None, alert_id: UUID) -> Alert | None:
        return (await self.load_alerts([alert_id] if self._is_of(clinic, alert_id) else [])).get(alert_id)

    async def find_relationships(self, clinic: ClinicId | None, ids: Collection[UUID]) -> Mapping[UUID, Relationship]:
        found = {r: self.relationships[r].value for r in ids if r in self.relationships}
        return {r: relationship for r, relationship in found.items() if clinic in (None, relationship.clinic_id)}

    async def change_alert(self, clinic: ClinicId | None, alert_id: UUID, decide: Decide[Alert]) -> Change[Alert]:
        stored = self.alerts.get(alert_id)
        before = await self.find_alert(clinic, alert_id)
        after, events = decide(before)
        if stored is not None and before is None:
            raise IdTaken
        if after != before or events:
            _save(self.alerts, [Versioned(alert_id, after, stored.version if stored else 0)])
        self.pending_events += events
        return Change(before, after, events)

    async def list_inbox_alerts(
        self, clinic: ClinicId | None, clinician_id: UUID, limit: int, skip: int = 0
    ) -> list[Alert]:
        of_clinician = self._inbox_alerts(clinic, clinician_id)
        latest_first = sorted(sorted(of_clinician, key=lambda a: a.id), key=_last_sign_at, reverse=True)
        return sorted(latest_first, key=lambda a: a.place)[skip : skip + limit]

    async def count_inbox_alerts(self, clinic: ClinicId | None, clinician_id: UUID) -> InboxCounts:
        of_clinician = self._inbox_alerts(clinic, clinician_id)
        return InboxCounts(sum(alert.is_active for alert in of_clinician), len(of_clinician))

    def _inbox_alerts(self, clinic: ClinicId | None, clinician_id: UUID) -> list[Alert]:
        alerts = [stored.value for i, stored in self.alerts.items() if self._is_of(clinic, i)]
        return [alert for alert in alerts if alert.clinician_id == clinician_id and not alert.is_withdrawn]

    async def list_alerts_to_send(self, clinic: ClinicId | None, clinician_id: UUID, since: datetime) -> list[Alert]:
        active = await self.list_active_alerts(since)
        return [alert for alert in active if alert.clinician_id == clinician_id and self._is_of(clinic, alert.id)]

    async def list_active_alerts(self, since: datetime) -> list[Alert]:
        alerts = [stored.value for stored in self.alerts.values()]
        return [alert for alert in alerts if alert.is_active and _last_sign_at(alert) >= since]

    def _is_of(self, clinic: ClinicId | None, alert_id: UUID) -> bool:
        return alert_id in self.alerts and clinic in (None, self.alerts[alert_id].value.clinic_id)

    async def count_active_alerts(self) -> AlertCounts:
        counts: AlertCounts = {}
        for severity in SEVERITY_RANK:
            for status in ACTIVE_STATUSES:
                alerts = [
                    s.value for s in self.alerts.values() if (s.value.severity, s.value.status) == (severity, status)
                ]
                counts[severity, status] = len(alerts), min(map(_last_sign_at, alerts), default=None)
        return counts

    async def save_clinicians(self, clinicians: Iterable[ClinicianRegistered | ClinicianUpdated]) -> None:
        for event in clinicians:
            stored = self.clinicians.get(event.clinician_id)
            if stored is None or stored.occurred_at < event.occurred_at:
                self.clinicians[event.clinician_id] = event

    async def find_time_zone(self, clinic: ClinicId | None, clinician_id: UUID) -> str | None:
        stored = self.clinicians.get(clinician_id)
        return stored.time_zone if stored and clinic in (None, stored.clinic_id) else None

    async def load_channels(self, clinicians: Collection[UUID]) -> Mapping[UUID, ChannelAddresses]:
        return {c: self.channels[c] for c in clinicians if c in self.channels}

    async def save_channels(self, clinic: ClinicId | None, clinician_id: UUID, addresses: ChannelAddresses) -> bool:
        if clinic is not None and await self.find_time_zone(clinic, clinician_id) is None:
            return False
        self.channels[clinician_id] = addresses
        return True

    async def count_unknown_clinics(self) -> UnknownClinics:
        relationships = [stored.value for stored in self.relationships.values()]
        unknown = [r for r in relationships if r.clinic_id is None and not r.erased]
        return UnknownClinics(len(unknown), len(self._alerts_without_clinic()))

    async def list_unknown_clinics(self, after: UUID | None, limit: int) -> list[UUID]:
        ids = sorted({alert.relationship_id for alert in self._alerts_without_clinic()})
        return [i for i in ids if after is None or i > after][:limit]

    async def fill_in_clinics(self, clinics: Mapping[UUID, ClinicId]) -> None:
        for alert in self._alerts_without_clinic():
            if (clinic := clinics.get(alert.relationship_id)) is not None:
                filled_in = alert.model_copy(update={"clinic_id": clinic})
                _save(self.alerts, [Versioned(alert.id, filled_in, self.alerts[alert.id].version)])

    def _alerts_without_clinic(self) -> list[Alert]:
        return [stored.value for stored in self.alerts.values() if stored.value.clinic_id is None]


def _save(stored: dict[UUID, Versioned[T]], changed: Sequence[Versioned[T]]) -> set[UUID]:
    conflicts = {c.id for c in changed if c.version != (stored[c.id].version if c.id in stored else 0)}
    stored.update({c.id: replace(c, version=c.version + 1) for c in changed if c.id not in conflicts})
    return conflicts


def _last_sign_at(alert: Alert) -> datetime:
    return alert.episode.last_sign_at


@dataclass(frozen=True)
class StoredDelivery:
    """A delivery and how far it got."""

    delivery: Delivery
    planned_at: datetime
    due_at: datetime | None = DUE_IMMEDIATELY
    """While it is claimed, the end of the lease; None when it is completed."""
    attempts: int = 0
    is_claimed: bool = False
    unknown_attempts: int = 0
    outcome: DeliveryOutcome | None = None
    completed_at: datetime | None = None


class InMemoryDeliveryStore:
    """A delivery store in memory; `clock` decides what is due."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.deliveries: dict[UUID, StoredDelivery] = {}

    async def add(self, deliveries: Sequence[Delivery], now: datetime) -> None:
        for delivery in deliveries:
            self.deliveries.setdefault(delivery.id, StoredDelivery(delivery, now))

    async def claim(self, channel: ChannelName, lease: timedelta, *, include_expired: bool) -> ClaimedDelivery | None:
        now = self._clock()
        due = [
            (stored.due_at, stored)
            for stored in self.deliveries.values()
            if stored.delivery.channel == channel
            and stored.due_at is not None
            and stored.due_at <= now
            and (include_expired or not stored.is_claimed)
        ]
        if not due:
            return None
        _, stored = min(due, key=lambda item: item[0])
        claimed = replace(stored, due_at=now + lease, attempts=stored.attempts + 1, is_claimed=True)
        self.deliveries[claimed.delivery.id] = claimed
        return ClaimedDelivery(claimed.delivery, claimed.attempts, now, claimed.planned_at, claimed.unknown_attempts)

    async def renew(self, claimed: ClaimedDelivery, lease: timedelta) -> bool:
        stored = self._find_claimed(claimed)
        if stored is None or not stored.is_claimed:
            return False
        self._put(replace(stored, due_at=self._clock() + lease))
        return True

    async def complete(self, claimed: ClaimedDelivery, outcome: DeliveryOutcome) -> None:
        if stored := self._find_claimed(claimed):
            self._put(replace(stored, outcome=outcome, due_at=None, is_claimed=False, completed_at=self._clock()))

    async def schedule_retry(self, claimed: ClaimedDelivery, wait: timedelta, unknown_attempts: int) -> None:
        stored = self._find_claimed(claimed)
        if stored is not None and stored.due_at is not None:
            due_at = self._clock() + wait
            self._put(replace(stored, due_at=due_at, unknown_attempts=unknown_attempts, is_claimed=False))

    async def cancel(self, claimed: ClaimedDelivery) -> None:
        if self._find_claimed(claimed):
            del self.deliveries[claimed.delivery.id]

    async def reopen_failed(self, clinic: ClinicId | None, clinician_id: UUID, since: datetime, now: datetime) -> None:
        for stored in list(self.deliveries.values()):
            has_failed = stored.outcome in ("rejected", "failed") and stored.planned_at >= since
            is_own = clinic in (None, stored.delivery.clinic_id) and stored.delivery.clinician_id == clinician_id
            if has_failed and is_own:
                self._put(replace(stored, due_at=DUE_IMMEDIATELY, planned_at=now, outcome=None, completed_at=None))

    async def list_completed(self, before: datetime, after: UUID | None, limit: int) -> list[Delivery]:
        completed = [
            delivery_id
            for delivery_id, stored in self.deliveries.items()
            if stored.completed_at is not None and stored.completed_at < before
        ]
        page = sorted(delivery_id for delivery_id in completed if after is None or delivery_id > after)[:limit]
        return [self.deliveries[delivery_id].delivery for delivery_id in page]

    async def remove_completed(self, ids: Collection[UUID]) -> int:
        removed = [i for i in ids if i in self.deliveries and self.deliveries[i].completed_at is not None]
        for delivery_id in removed:
            del self.deliveries[delivery_id]
        return len(removed)

    async def count_due(self) -> tuple[int, datetime | None]:
        planned = [stored.planned_at for stored in self.deliveries.values() if stored.due_at is not None]
        return len(planned), min(planned, default=None)

    async def list_unknown_clinics(self, after: UUID | None, limit: int) -> list[UUID]:
        ids = sorted({s.delivery.alert_id for s in self.deliveries.values() if s.delivery.clinic_id is None})
        return [i for i in ids if after is None or i > after][:limit]

    async def fill_in_clinics(self, clinics: Mapping[UUID, ClinicId]) -> None:
        for stored in list(self.deliveries.values()):
            if stored.delivery.clinic_id is None and stored.delivery.alert_id in clinics:
                clinic = clinics[stored.delivery.alert_id]
                self._put(replace(stored, delivery=stored.delivery.model_copy(update={"clinic_id": clinic})))

    def _find_claimed(self, claimed: ClaimedDelivery) -> StoredDelivery | None:
        stored = self.deliveries.get(claimed.delivery.id)
        return stored if stored is not None and stored.attempts == claimed.attempts else None

    def _put(self, stored: StoredDelivery) -> None:
        self.deliveries[stored.delivery.id] = stored
