"""Which topics the alliance service consumes, which handlers get their events, and which events it publishes."""

from collections.abc import Sequence

from services.alliance.domain.state.history import HISTORY_EVENTS, HistoryEvent
from services.alliance.handlers.dispositions import DispositionRecorder
from services.alliance.handlers.projector import AllianceProjector
from shared.events import (
    STAFF_EVENTS,
    AlertReopened,
    AlertResolved,
    AllianceUpdated,
    Event,
    RuptureChanged,
    RuptureEnded,
    RuptureRepaired,
    RuptureRetracted,
    RuptureSuspected,
)
from shared.events.topics import ALERTS, FEEDBACK, INTAKE, SESSIONS
from shared.kafka import Kafka
from shared.staff.cache import CachedStaff
from shared.staff.handlers import with_staff
from shared.staff.store import StaffStore

CONSUMED_EVENTS: tuple[type[Event], ...] = (*HISTORY_EVENTS, *STAFF_EVENTS)
PUBLISHED_EVENTS: tuple[type[Event], ...] = (
    AllianceUpdated,
    RuptureSuspected,
    RuptureChanged,
    RuptureRepaired,
    RuptureRetracted,
    RuptureEnded,
)


def subscribe(
    kafka: Kafka,
    projector: AllianceProjector,
    disposition_recorder: DispositionRecorder,
    staff_store: StaffStore,
    staff: CachedStaff,
) -> None:
    """Subscribe the projector to the events of histories, and the disposition recorder also to those of alerts."""

    async def handle_batch(events: Sequence[HistoryEvent]) -> None:
        await projector.handle_batch(events)
        if dispositions := [event for event in events if isinstance(event, AlertResolved | AlertReopened)]:
            await disposition_recorder.handle_batch(dispositions)

    handler = with_staff(handle_batch, staff_store, staff)
    kafka.subscribe(INTAKE, SESSIONS, FEEDBACK, ALERTS, event_types=CONSUMED_EVENTS, handler=handler)
