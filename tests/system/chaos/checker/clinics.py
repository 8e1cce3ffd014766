"""Whether everything that sessions and notify store about a relationship has the clinic that its start says."""

from uuid import UUID

from shared.events import RelationshipStarted
from tests.system.chaos.checker.observation import ObservedState

COLLECTIONS = (
    ("sessions", "relationships"),
    ("sessions", "sessions"),
    ("notify", "relationships"),
    ("notify", "alerts"),
    ("notify", "deliveries"),
)


def clinic_differences(observed: ObservedState) -> list[str]:
    """Documents with another clinic or without one; nothing is known of the relationships of erased clients."""
    events = observed.topic_contents.source_events.values()
    started = [event for event in events if isinstance(event, RelationshipStarted)]
    clinics = {event.relationship_id: event.clinic_id for event in sorted(started, key=lambda event: event.occurred_at)}
    alerts = observed.documents("notify", "alerts")
    differences = []
    for service, collection in COLLECTIONS:
        for document_id, document in observed.documents(service, collection).items():
            subject = alerts.get(document["alert_id"]) if collection == "deliveries" else document
            if subject is None or document.get("erased") or document.get("erased_at"):
                continue
            stored, expected = document.get("clinic_id"), clinics.get(subject["relationship_id"])
            if stored != expected:
                differences.append(f"{service} {collection} {document_id}: clinic {stored}, not {expected}")
    return differences


def count_with_clinic(observed: ObservedState) -> int:
    """How many documents have a clinic."""
    clinics: list[UUID | None] = [
        document.get("clinic_id")
        for service, collection in COLLECTIONS
        for document in observed.documents(service, collection).values()
    ]
    return len(clinics) - clinics.count(None)
