"""A run that passes all checks: the complete state of Attune as it must be after the requests."""

from datetime import timedelta
from functools import reduce
from typing import Any
from uuid import UUID, uuid5

from services.alliance.domain.derived_events import derive_events
from services.alliance.domain.fold import fold_steps
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.presentation.trajectory import point_for
from services.alliance.domain.state.history import HISTORY_EVENTS
from services.alliance.http.views import RelationshipView
from services.alliance.store.mongo import event_document, to_document
from services.alliance.store.protocol import VersionedState
from shared.events import (
    AlertRaised,
    AlertResolved,
    ClinicUpdated,
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackSubmitted,
    RelationshipStarted,
    RuptureEvent,
    SessionScheduled,
)
from shared.events.staff import STAFF_EVENTS
from shared.events.topics import dead_letter_topic
from shared.staff.staff import ClinicStaff, evolve
from tests.system.chaos.checker.acknowledged.requests import read_requests
from tests.system.chaos.checker.clinics import COLLECTIONS
from tests.system.chaos.checker.clocks import CLOCK_TOLERANCE
from tests.system.chaos.checker.staff import VIEWS
from tests.system.chaos.checker.states import refold_relationships
from tests.system.chaos.checker.topic_contents import origin as origin_of
from tests.system.support.poison import PoisonMessage
from tests.unit.system.chaos.checker.recorded_messages import create_email, create_webhook
from tests.unit.system.chaos.checker.recorded_requests import (
    CLINIC_ID,
    RELATIONSHIP_ID,
    STARTED_AT,
    UNANSWERED_WEEK,
    Document,
    session_id,
    session_time,
)
from tests.unit.system.chaos.checker.recorded_run import RecordedRun

VERSION = 7


def healthy_run() -> RecordedRun:
    """A run that passes all checks."""
    run = RecordedRun()
    _publish_source_events(run)
    _add_states(run)
    _add_alert(run)
    _add_intake_documents(run)
    _add_session_documents(run)
    _add_projected_clinic(run)
    _add_staff(run)
    _add_clinic_ids(run)
    _add_poison(run)
    return run


def _publish_source_events(run: RecordedRun) -> None:
    """Publish all expected events, with new ids and at allowed times."""
    history = read_requests(run.requests, STARTED_AT, CLOCK_TOLERANCE)
    submitted_ids: dict[object, UUID] = {}
    for number, expected in enumerate(history.expected_events):
        changes: Document = {"id": uuid5(CLINIC_ID, f"event {number}"), "occurred_at": expected.latest}
        if isinstance(expected.event, FeedbackSubmitted):
            submitted_ids[expected.event.session_id, expected.event.rater] = changes["id"]
        if isinstance(expected.event, FeedbackAmended):
            changes["amends"] = submitted_ids[expected.event.session_id, expected.event.rater]
        run.publish(expected.event.model_copy(update=changes))
    due_at = session_time(UNANSWERED_WEEK) + timedelta(minutes=50, hours=72)
    common_fields = {"relationship_id": RELATIONSHIP_ID, "session_id": session_id(UNANSWERED_WEEK), "rater": "client"}
    run.publish(
        FeedbackLapsed.model_validate({"id": uuid5(CLINIC_ID, "lapsed"), "occurred_at": due_at, **common_fields})
    )
    run.publish(*run.injected, *run.injected[:1])


def _add_states(run: RecordedRun) -> None:
    contents = run.topic_contents()
    events = [event for event in contents.source_events.values() if isinstance(event, HISTORY_EVENTS)]
    database = run.databases["alliance"] = {
        "facts": {stored_event.id: event_document(stored_event) for stored_event in events},
        "alliances": {},
    }
    for relationship, result in refold_relationships(contents).items():
        state = VersionedState(relationship, result, VERSION)
        database["alliances"][relationship] = to_document(state)
        run.publish(*derive_events(relationship, result, VERSION, DEFAULT_POLICY))
        run.alliances[relationship] = RelationshipView.from_versioned(state, DEFAULT_POLICY).model_dump(mode="json")
        relationship_events = [event for event in events if event.relationship_id == relationship]
        points = (
            point_for(event, previous, DEFAULT_POLICY)
            for event, previous, _ in fold_steps(relationship_events, DEFAULT_POLICY)
        )
        shown_points = [
            trajectory_point.model_dump(mode="json") for trajectory_point in points if trajectory_point is not None
        ]
        run.trajectories[relationship] = {"points": shown_points}


def fold_resolution(run: RecordedRun, resolved: AlertResolved) -> None:
    """Add what follows from a resolution that is on its topic: the episode has ended."""
    result = refold_relationships(run.topic_contents())[RELATIONSHIP_ID]
    state = VersionedState(RELATIONSHIP_ID, result, VERSION + 1)
    run.databases["alliance"]["facts"][resolved.id] = event_document(resolved)
    run.databases["alliance"]["alliances"][RELATIONSHIP_ID] = to_document(state)
    run.publish(*derive_events(RELATIONSHIP_ID, result, VERSION + 1, DEFAULT_POLICY))
    run.alliances[RELATIONSHIP_ID] = RelationshipView.from_versioned(state, DEFAULT_POLICY).model_dump(mode="json")
    run.document("notify", "alerts", resolved.alert_id)["said"]["version"] = VERSION + 1
    run.document("notify", "relationships", RELATIONSHIP_ID).update(
        {"alliance_version": VERSION + 1, "open_episode_id": None}
    )


def _add_alert(run: RecordedRun) -> None:
    """Add the open alert to notify, with its deliveries and messages."""
    rupture = run.find_event(RuptureEvent)
    alert_id = uuid5(rupture.episode_id, "alert")
    common_fields = {
        "alert_id": alert_id,
        "episode_id": rupture.episode_id,
        "relationship_id": RELATIONSHIP_ID,
        "clinician_id": CLINIC_ID,
    }
    raised_fields = {
        "id": uuid5(alert_id, f"raised:{rupture.severity}"),
        "occurred_at": rupture.last_sign_at,
        "severity": rupture.severity,
    }
    run.publish(AlertRaised.model_validate({**raised_fields, **common_fields}))
    alert = {
        **{name: value for name, value in common_fields.items() if name != "alert_id"},
        "said": rupture.model_dump(include={"version", "severity", "first_sign_at", "last_sign_at"}),
        "status": "open",
        "steps": {rupture.severity: {}},
        "acknowledged": None,
        "resolved": None,
    }
    run.databases["notify"] = {
        "alerts": {alert_id: alert},
        "deliveries": {uuid5(alert_id, f"raised:{name}"): _delivery(alert_id, name) for name in ("email", "webhook")},
        "relationships": _notify_relationships(run),
    }
    inbox_alert = {"alert_id": str(alert_id), "status": "open", "severity": rupture.severity}
    run.inboxes[CLINIC_ID] = {"alerts": [inbox_alert]}
    run.received_emails.append(create_email(alert_id))
    run.received_webhooks.append(create_webhook(alert_id))


def _delivery(alert_id: UUID, channel: str) -> Document:
    return {"alert_id": alert_id, "channel": channel, "change": "raised", "outcome": "sent"}


def _notify_relationships(run: RecordedRun) -> dict[Any, Document]:
    """What notify knows of each relationship."""
    relationships: dict[Any, Document] = {}
    for relationship, result in refold_relationships(run.topic_contents()).items():
        open_episode = result.alliance.open_episode.id if result.alliance.open_episode else None
        relationships[relationship] = {
            "clinician_id": result.alliance.clinician_id,
            "ended_at": None,
            "alliance_version": VERSION,
            "open_episode_id": open_episode,
            "appointments": [],
        }
    return relationships


def _add_intake_documents(run: RecordedRun) -> None:
    contents, start_fields = run.topic_contents(), {"started_at": session_time(0), "clinician_id": CLINIC_ID}
    consents = [
        consent for consent in contents.source_events.values() if isinstance(consent, ConsentGiven | ConsentWithdrawn)
    ]
    stored_consents = [
        {"at": consent.occurred_at, "given": True} for consent in consents if consent.relationship_id == RELATIONSHIP_ID
    ]
    relationship = {
        "start": start_fields,
        "agreements": [{"agreed_at": session_time(0), "aims": ["coping"]}],
        "consents": stored_consents,
    }
    registered = run.find_event(Event, lambda event: event.KEY == "clinician_id")
    run.databases["intake"] = {
        "relationships": {RELATIONSHIP_ID: {**relationship, "end": None}},
        "clinicians": {CLINIC_ID: {"told_at": registered.occurred_at}},
        "clinics": {CLINIC_ID: {"last_event_at": run.find_event(ClinicUpdated).occurred_at}},
    }


def _add_session_documents(run: RecordedRun) -> None:
    history, contents = (
        read_requests(run.requests, STARTED_AT, CLOCK_TOLERANCE),
        run.topic_contents(),
    )
    scheduled_by_session = {
        event.session_id: event for event in contents.source_events.values() if isinstance(event, SessionScheduled)
    }
    sessions: dict[Any, Document] = {}
    for document_id, acknowledged_session in history.sessions.items():
        feedback: Document = {
            rater: {
                "status": "answered" if rater in acknowledged_session.answers else "lapsed",
                "answer": acknowledged_session.answers[rater].model_dump()
                if rater in acknowledged_session.answers
                else None,
            }
            for rater in acknowledged_session.requested_raters
        }
        outcome: Document = {"what": acknowledged_session.outcome, "minutes": 50}
        if acknowledged_session.due_at:
            outcome["ended_at"] = acknowledged_session.starts_at + timedelta(minutes=50)
        else:
            outcome |= {"by": "clinic", "cancelled_at": acknowledged_session.starts_at - timedelta(days=3)}
        sessions[document_id] = {
            "starts_at": acknowledged_session.starts_at,
            "minutes": 50,
            "scheduled_at": scheduled_by_session[document_id].occurred_at,
            "outcome": outcome,
            "feedback": feedback,
        }
    stored_relationships = {
        relationship: {"started_at": result.alliance.started_at, "ended_at": None, "consent": True}
        for relationship, result in refold_relationships(contents).items()
    }
    run.databases["sessions"] = {"sessions": sessions, "relationships": stored_relationships}


def _add_projected_clinic(run: RecordedRun) -> None:
    clinic = run.find_event(ClinicUpdated)
    run.databases["sessions"]["clinics"] = {CLINIC_ID: {"updated_at": clinic.occurred_at, "name": clinic.name}}


def _add_staff(run: RecordedRun) -> None:
    events = [event for event in run.topic_contents().source_events.values() if isinstance(event, STAFF_EVENTS)]
    for service, collection in VIEWS:
        staff = reduce(evolve, events, ClinicStaff(clinic_id=CLINIC_ID))
        run.databases[service][collection] = {CLINIC_ID: staff.model_dump()}


def _add_clinic_ids(run: RecordedRun) -> None:
    events = run.topic_contents().source_events.values()
    clinics = {event.relationship_id: event.clinic_id for event in events if isinstance(event, RelationshipStarted)}
    for service, collection in COLLECTIONS:
        for document_id, document in run.databases[service][collection].items():
            relationship = document_id if collection == "relationships" else RELATIONSHIP_ID
            document |= {"relationship_id": relationship, "clinic_id": clinics[relationship]}


def _add_poison(run: RecordedRun) -> None:
    for poison_message in run.poison:
        origin = origin_of(run.add_record(poison_message.topic, poison_message.key, poison_message.value))
        for consumer in poison_message.dead_lettered_by:
            add_dead_letter(run, consumer, poison_message, origin)


def add_dead_letter(run: RecordedRun, consumer: str, poison_message: PoisonMessage, origin: str) -> None:
    headers = {"attune_error": b"message: is not JSON", "attune_origin": origin.encode()}
    run.add_record(dead_letter_topic(consumer), poison_message.key, poison_message.value, **headers)
