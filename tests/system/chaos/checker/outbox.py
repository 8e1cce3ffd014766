"""Whether outboxes are empty, and whether each published event has its state in the service that published it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.events import (
    AlertAcknowledged,
    AlertRaised,
    AlertReopened,
    AlertResolved,
    Answer,
    ClinicianRegistered,
    ClinicianUpdated,
    ClinicUpdated,
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackRequested,
    FeedbackSubmitted,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipEvent,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionScheduled,
)
from shared.events.alerts import AlertEvent
from shared.events.feedback import FeedbackEvent
from shared.events.sessions import SessionEvent
from shared.events.staff import STAFF_EVENTS
from tests.system.chaos.checker.observation import Document, ObservedState


def pending_outbox_entries(observed: ObservedState) -> list[str]:
    """Documents with outbox entries that are not published yet."""
    return [
        f"{service}.{collection} {document_id} has pending outbox entries "
        f"{[str(entry['id']) for entry in document['owed']]}"
        for service, collections in observed.databases.items()
        for collection, documents in collections.items()
        for document_id, document in documents.items()
        if document.get("owed")
    ]


def events_without_state(observed: ObservedState, injected_ids: set[UUID]) -> list[str]:
    """Published events that the documents of their own service do not support. The staff has a check of its own."""
    latest_by_subject = _latest_by_subject(observed, injected_ids)
    events: list[Event] = [
        event
        for event in observed.topic_contents.source_events.values()
        if event.id not in injected_ids and not isinstance(event, STAFF_EVENTS)
    ]
    events += observed.topic_contents.alert_events.values()
    return [
        f"{candidate.event_type()} {candidate.id} of {candidate.key}"
        for candidate in events
        if not _is_supported(candidate, observed, latest_by_subject.get(_subject(candidate)) == candidate.id)
    ]


def _subject(event: Event) -> object:
    """What several events can be about, of which only the latest counts: an appointment, an answer, consent, aims."""
    match event:
        case SessionScheduled():
            return "appointment", event.session_id
        case FeedbackSubmitted() | FeedbackAmended():
            return "answer", event.session_id, event.rater
        case ConsentGiven() | ConsentWithdrawn():
            return "consent", event.relationship_id
        case RelationshipAimsUpdated():
            return "aims", event.relationship_id
        case ClinicianRegistered() | ClinicianUpdated():
            return "clinician", event.clinician_id
        case ClinicUpdated():
            return "clinic", event.clinic_id
        case _:
            return event.id


def _latest_by_subject(observed: ObservedState, injected_ids: set[UUID]) -> dict[object, UUID]:
    latest: dict[object, UUID] = {}
    for event in sorted(observed.topic_contents.source_events.values(), key=_order_key):
        if event.id not in injected_ids:
            latest[_subject(event)] = event.id
    return latest


def _order_key(event: Event) -> tuple[datetime, bool]:
    return event.occurred_at, isinstance(event, FeedbackAmended | ConsentWithdrawn | ClinicianUpdated)


def _is_supported(event: Event, observed: ObservedState, is_latest: bool) -> bool:
    """Whether a document supports the event; the latest event of a subject must match the current values."""
    if isinstance(event, SessionEvent | FeedbackEvent):
        document = observed.documents("sessions", "sessions").get(event.session_id)
        return document is not None and _is_supported_by_session(event, document, is_latest)
    if isinstance(event, AlertEvent):
        alert = observed.documents("notify", "alerts").get(event.alert_id)
        return alert is not None and _is_supported_by_alert(event, alert)
    if isinstance(event, RelationshipEvent):
        relationship = observed.documents("intake", "relationships").get(event.relationship_id)
        return relationship is not None and _is_supported_by_relationship(event, relationship)
    if isinstance(event, ClinicUpdated):
        clinic = observed.documents("intake", "clinics").get(event.clinic_id)
        return clinic is not None and (not is_latest or clinic["last_event_at"] == event.occurred_at)
    clinician = observed.documents("intake", "clinicians").get(event.key)
    return clinician is not None and (not is_latest or clinician["told_at"] == event.occurred_at)


def _is_supported_by_session(event: Event, document: Document, is_latest: bool) -> bool:
    outcome, feedback = document["outcome"] or {"what": ""}, document["feedback"]
    match event:
        case SessionScheduled():
            stored = (document["starts_at"], document["minutes"], document["scheduled_at"])
            return not is_latest or stored == (event.starts_at, event.minutes, event.occurred_at)
        case SessionCompleted():
            completion = (outcome["what"], outcome.get("ended_at"), outcome.get("minutes"))
            return completion == ("completed", event.occurred_at, event.minutes)
        case SessionMissed():
            return bool(outcome["what"] == "missed")
        case SessionCancelled():
            cancellation = (outcome["what"], outcome.get("cancelled_at"), outcome.get("by"))
            return cancellation == ("cancelled", event.occurred_at, event.by)
        case FeedbackRequested():
            return event.rater in feedback
        case FeedbackSubmitted() | FeedbackAmended():
            request = feedback.get(event.rater)
            answered = request is not None and request["status"] == "answered"
            return answered and (not is_latest or Answer.model_validate(request["answer"]) == _answer(event))
        case FeedbackLapsed():
            return event.rater in feedback and feedback[event.rater]["status"] in ("lapsed", "answered")
    return False


def _answer(event: FeedbackSubmitted | FeedbackAmended) -> Answer:
    return Answer.model_validate(event.model_dump(include=set(Answer.model_fields)))


def _is_supported_by_relationship(event: Event, document: Document) -> bool:
    match event:
        case RelationshipStarted():
            start = document["start"]
            return (start["started_at"], start["clinician_id"]) == (event.occurred_at, event.clinician_id)
        case RelationshipAimsUpdated():
            return any(
                _values(agreement, "agreed_at", "aims") == (event.occurred_at, event.aims)
                for agreement in document["agreements"]
            )
        case ConsentGiven() | ConsentWithdrawn():
            consent = (event.occurred_at, isinstance(event, ConsentGiven))
            return any(_values(stored_consent, "at", "given") == consent for stored_consent in document["consents"])
        case RelationshipEnded():
            end = document["end"]
            return end is not None and (end["at"], end["reason"]) == (event.occurred_at, event.reason)
    return False


def _values(document: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(tuple(value) if isinstance(value := document[name], list) else value for name in names)


def _is_supported_by_alert(event: AlertEvent, document: Document) -> bool:
    match event:
        case AlertRaised():
            return event.severity in document["steps"]
        case AlertAcknowledged() | AlertResolved() | AlertReopened():
            return _has_disposition(event, document)
    return False


def _has_disposition(event: AlertEvent, document: Document) -> bool:
    """Older versions store the last one of each kind, without an id."""
    if event.id in {disposition["id"] for disposition in document.get("dispositions", ())}:
        return True
    return document["acknowledged" if isinstance(event, AlertAcknowledged) else "resolved"] is not None
