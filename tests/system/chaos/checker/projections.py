"""Whether the projections of relationships and clinics in sessions and notify match the published events."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from shared.events import (
    ClinicUpdated,
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    RelationshipEnded,
    RelationshipEvent,
    RelationshipStarted,
    SessionCancelled,
    SessionScheduled,
)
from tests.system.chaos.checker.observation import Document, ObservedState

CONSUMED_BY_SESSIONS = (RelationshipStarted, RelationshipEnded, ConsentGiven, ConsentWithdrawn)


def projection_differences(observed: ObservedState, clock_skew: timedelta) -> list[str]:
    """Differences between the relationships stored in sessions and notify and the events on the topics."""
    by_relationship = defaultdict[UUID, list[Event]](list)
    for event in observed.topic_contents.source_events.values():
        if isinstance(event, RelationshipEvent):
            by_relationship[event.relationship_id].append(event)
    future_from = observed.observed_at + clock_skew
    differences = _clinic_differences(observed)
    for relationship, events in by_relationship.items():
        events.sort(key=_order_key)
        sessions = observed.documents("sessions", "relationships").get(relationship)
        notify = observed.documents("notify", "relationships").get(relationship)
        differences += [
            f"sessions of {relationship}: {difference}" for difference in _sessions_differences(events, sessions)
        ]
        differences += [
            f"notify of {relationship}: {difference}"
            for difference in _notify_differences(events, notify, observed, future_from)
        ]
    return differences


def _clinic_differences(observed: ObservedState) -> list[str]:
    clinic_events = [e for e in observed.topic_contents.source_events.values() if isinstance(e, ClinicUpdated)]
    latest = {event.clinic_id: event for event in sorted(clinic_events, key=lambda event: event.occurred_at)}
    return [
        f"sessions of clinic {clinic_id}: {difference}"
        for clinic_id, event in latest.items()
        for difference in _field_differences(
            observed.documents("sessions", "clinics").get(clinic_id) or {"updated_at": None, "name": None},
            updated_at=event.occurred_at,
            name=event.name,
        )
    ]


def _order_key(event: Event) -> tuple[datetime, bool]:
    """Of two events at the same moment, a withdrawal of consent and a cancellation take precedence."""
    return event.occurred_at, isinstance(event, ConsentWithdrawn | SessionCancelled)


def _sessions_differences(events: list[Event], stored: Document | None) -> Iterator[str]:
    consumed = [
        event
        for event in events
        if isinstance(event, RelationshipStarted | RelationshipEnded | ConsentGiven | ConsentWithdrawn)
    ]
    if not consumed:
        return
    if stored is None:
        yield "unknown"
        return
    consents = [consent for consent in consumed if isinstance(consent, ConsentGiven | ConsentWithdrawn)]
    yield from _field_differences(
        stored,
        started_at=next((event.occurred_at for event in consumed if isinstance(event, RelationshipStarted)), None),
        ended_at=next((event.occurred_at for event in consumed if isinstance(event, RelationshipEnded)), None),
        consent=bool(consents) and isinstance(consents[-1], ConsentGiven),
    )


def _notify_differences(
    events: list[Event], stored: Document | None, observed: ObservedState, future_from: datetime
) -> Iterator[str]:
    update = observed.topic_contents.alliance_updates.get(events[0].key)
    if stored is None:
        yield "unknown"
        return
    yield from _field_differences(
        stored,
        clinician_id=next((event.clinician_id for event in events if isinstance(event, RelationshipStarted)), None),
        ended_at=next((event.occurred_at for event in events if isinstance(event, RelationshipEnded)), None),
        alliance_version=update.version if update else 0,
        open_episode_id=update.open_episode_id if update else None,
    )
    stored_appointments = {
        appointment["session_id"]: appointment["starts_at"]
        for appointment in stored["appointments"]
        if not appointment["called_off"]
    }
    if {
        session_id: starts_at for session_id, starts_at in stored_appointments.items() if starts_at > future_from
    } != _future_appointments(events, future_from):
        yield "appointments"


def _future_appointments(events: list[Event], future_from: datetime) -> dict[UUID, datetime]:
    """Appointments after `future_from`, according to the latest events."""
    appointments: dict[UUID, datetime] = {}
    for event in events:
        if isinstance(event, SessionScheduled):
            appointments[event.session_id] = event.starts_at
        elif isinstance(event, SessionCancelled):
            appointments.pop(event.session_id, None)
    return {session: starts_at for session, starts_at in appointments.items() if starts_at > future_from}


def _field_differences(stored: Document, **expected: Any) -> Iterator[str]:
    yield from (f"{name} {stored[name]}, not {value}" for name, value in expected.items() if stored[name] != value)
