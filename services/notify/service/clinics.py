"""Filling in the clinics of what an older version stored without them."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from services.notify.handlers import AlertProjector
from services.notify.metrics import Metrics
from services.notify.store import DeliveryStore, Store
from shared.access.clinic_id import ClinicId
from shared.clinics.backfill import ClinicBackfill, Following
from shared.clinics.intake_history import IntakeHistory
from shared.events import ClinicianRegistered, ClinicianUpdated, Event, RelationshipStarted

EVENTS_WITH_CLINICS: tuple[type[Event], ...] = (RelationshipStarted, ClinicianRegistered, ClinicianUpdated)


def create_backfill(
    store: Store, delivery_store: DeliveryStore, projector: AlertProjector, metrics: Metrics, history: IntakeHistory
) -> ClinicBackfill:
    """Alerts get the clinics of their relationships, and messages those of their alerts.

    A message whose alert was removed stays without a clinic, until it is past retention itself.
    """

    async def find_clinics_of_relationships(ids: Sequence[UUID]) -> Mapping[UUID, ClinicId]:
        found = await store.load_relationships(ids)
        return {i: each.value.clinic_id for i, each in found.items() if each.value.clinic_id is not None}

    async def find_clinics_of_alerts(ids: Sequence[UUID]) -> Mapping[UUID, ClinicId]:
        found = await store.load_alerts(ids)
        return {i: alert.clinic_id for i, alert in found.items() if alert.clinic_id is not None}

    return ClinicBackfill(
        store.count_unknown_clinics,
        history.read,
        projector.fold_into_relationships,
        [Following(store, find_clinics_of_relationships), Following(delivery_store, find_clinics_of_alerts)],
        metrics.set_unknown_clinics,
    )
