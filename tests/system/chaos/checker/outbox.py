"""Whether anything is still owed, and whether what was told has its state in the service that told it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.events import (
    AlertAcknowledged,
    AlertRaised,
    AlertResolved,
    Answer,
    ClinicianRegistered,
    ClinicianUpdated,
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
from tests.system.chaos.checker.observation import Document, Seen


def still_owed(seen: Seen) -> list[str]:
    """Documents that owe an event to the topics."""
    return [
        f"{service}.{collection} {document_id} owes {[str(entry['id']) for entry in document['owed']]}"
        for service, collections in seen.kept.items()
        for collection, documents in collections.items()
        for document_id, document in documents.items()
        if document.get("owed")
    ]


def without_state(seen: Seen, injected: set[UUID]) -> list[str]:
    """Events of a service that its own documents do not bear out."""
    latest_by_subject = _last_of_each(seen, injected)
    events: list[Event] = [event for event in seen.record.facts.values() if event.id not in injected]
    events += seen.record.alerts.values()
    return [
        f"{candidate.kind()} {candidate.id} of {candidate.key}"
        for candidate in events
        if not _borne_out(candidate, seen, latest_by_subject.get(_subject(candidate)) == candidate.id)
    ]


def _subject(event: Event) -> object:
    """What only the last of several events tells of: an appointment, an answer, a client's word, aims."""
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
        case _:
            return event.id


def _last_of_each(seen: Seen, injected: set[UUID]) -> dict[object, UUID]:
    latest: dict[object, UUID] = {}
    for event in sorted(seen.record.facts.values(), key=_when):
        if event.id not in injected:
            latest[_subject(event)] = event.id
    return latest


def _when(event: Event) -> tuple[datetime, bool]:
    return event.occurred_at, isinstance(event, FeedbackAmended | ConsentWithdrawn | ClinicianUpdated)


def _borne_out(event: Event, seen: Seen, last: bool) -> bool:
    """Whether a document says so; what was said last must be what it says now."""
    if isinstance(event, SessionEvent | FeedbackEvent):
        document = seen.documents("sessions", "sessions").get(event.session_id)
        return document is not None and _of_session(event, document, last)
    if isinstance(event, AlertEvent):
        alert = seen.documents("notify", "alerts").get(event.alert_id)
        return alert is not None and _of_alert(event, alert)
    if isinstance(event, RelationshipEvent):
        relationship = seen.documents("intake", "relationships").get(event.relationship_id)
        return relationship is not None and _of_relationship(event, relationship)
    clinician = seen.documents("intake", "clinicians").get(event.key)
    return clinician is not None and (not last or clinician["told_at"] == event.occurred_at)


def _of_session(event: Event, document: Document, last: bool) -> bool:
    outcome, feedback = document["outcome"] or {"what": ""}, document["feedback"]
    match event:
        case SessionScheduled():
            stored = (document["starts_at"], document["minutes"], document["scheduled_at"])
            return not last or stored == (event.starts_at, event.minutes, event.occurred_at)
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
            return answered and (not last or Answer.model_validate(request["answer"]) == _answer(event))
        case FeedbackLapsed():
            return event.rater in feedback and feedback[event.rater]["status"] in ("lapsed", "answered")
    return False


def _answer(event: FeedbackSubmitted | FeedbackAmended) -> Answer:
    return Answer.model_validate(event.model_dump(include=set(Answer.model_fields)))


def _of_relationship(event: Event, document: Document) -> bool:
    match event:
        case RelationshipStarted():
            start = document["start"]
            return (start["started_at"], start["clinician_id"]) == (event.occurred_at, event.clinician_id)
        case RelationshipAimsUpdated():
            return any(
                _pair(agreement, "agreed_at", "aims") == (event.occurred_at, event.aims)
                for agreement in document["agreements"]
            )
        case ConsentGiven() | ConsentWithdrawn():
            consent = (event.occurred_at, isinstance(event, ConsentGiven))
            return any(_pair(stored_consent, "at", "given") == consent for stored_consent in document["consents"])
        case RelationshipEnded():
            end = document["end"]
            return end is not None and (end["at"], end["reason"]) == (event.occurred_at, event.reason)
    return False


def _pair(document: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(tuple(value) if isinstance(value := document[name], list) else value for name in names)


def _of_alert(event: AlertEvent, document: Document) -> bool:
    match event:
        case AlertRaised():
            return event.severity in document["steps"]
        case AlertAcknowledged():
            return document["acknowledged"] is not None
        case AlertResolved():
            return document["resolved"] is not None
    return False
