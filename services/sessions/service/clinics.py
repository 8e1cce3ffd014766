"""Filling in the clinics of relationships and sessions that an older version stored without them."""

from collections.abc import Mapping, Sequence
from functools import partial
from uuid import UUID

from services.sessions.handlers import handle_batch
from services.sessions.metrics import SessionsMetrics
from services.sessions.store.protocol import Store
from shared.access.clinic_id import ClinicId
from shared.clinics.backfill import ClinicBackfill, Following
from shared.clinics.intake_history import IntakeHistory
from shared.events import Event, RelationshipStarted

EVENTS_WITH_CLINICS: tuple[type[Event], ...] = (RelationshipStarted,)


def create_backfill(store: Store, metrics: SessionsMetrics, history: IntakeHistory) -> ClinicBackfill:
    """Relationships get their clinics by folding their starts again, and sessions those of their relationships."""

    async def find_clinics(relationship_ids: Sequence[UUID]) -> Mapping[UUID, ClinicId]:
        found = await store.load_relationships(relationship_ids)
        return {i: relationship.clinic_id for i, relationship in found.items() if relationship.clinic_id is not None}

    return ClinicBackfill(
        store.count_unknown_clinics,
        history.read,
        partial(handle_batch, store=store),
        [Following(store, find_clinics)],
        metrics.set_unknown_clinics,
    )
