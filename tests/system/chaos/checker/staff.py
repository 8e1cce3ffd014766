"""Whether intake's record of the staff and each service's view of it have the latest published events."""

from collections import defaultdict
from uuid import UUID

from shared.events.staff import (
    STAFF_EVENTS,
    DeputiesUpdated,
    LeadUpdated,
    StaffEvent,
    StaffUpdated,
    SupervisorsUpdated,
)
from tests.system.chaos.checker.observation import Document, ObservedState

VIEWS = (("intake", "staff_records"), ("sessions", "staff"), ("alliance", "staff"), ("notify", "staff"))
"""The service and the collection of each."""


def staff_differences(observed: ObservedState) -> list[str]:
    """Clinics whose staff is stored differently from what is published."""
    latest = defaultdict[UUID, dict[object, StaffEvent]](dict)
    for event in sorted(observed.topic_contents.source_events.values(), key=lambda event: event.occurred_at):
        if isinstance(event, STAFF_EVENTS):
            latest[event.clinic_id][_record(event)] = event
    return [
        f"the staff of clinic {clinic_id} in {service}"
        for clinic_id, events in latest.items()
        for service, collection in VIEWS
        if _stored_ids(observed.documents(service, collection).get(clinic_id)) != {e.id for e in events.values()}
    ]


def _record(event: StaffEvent) -> object:
    """What the event says anew."""
    match event:
        case StaffUpdated():
            return "person", event.person_id
        case DeputiesUpdated():
            return "deputies", event.clinician_id
        case SupervisorsUpdated():
            return "supervisors", event.clinician_id
        case LeadUpdated():
            return "lead"


def _stored_ids(staff: Document | None) -> set[UUID]:
    if staff is None:
        return set()
    records = [*staff["people"], *staff["deputies"], *staff["supervisors"], *([staff["lead"]] if staff["lead"] else ())]
    return {record["id"] for record in records}
