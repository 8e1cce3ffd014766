"""The checker of a chaos run detects every kind of error, in the check that names it, and reports nothing else."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid5

import pytest

from shared.events import (
    AlertAcknowledged,
    AlertRaised,
    AlertResolved,
    AllianceUpdated,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackSubmitted,
    RuptureRepaired,
    RuptureSuspected,
    SessionCompleted,
    SessionMissed,
)
from shared.events.topics import ALLIANCE, FEEDBACK, INTAKE, dead_letter_topic
from tests.unit.system.chaos.recorded_run import (
    CLINIC_ID,
    LAST_WEEK,
    MISSED_WEEK,
    NOW,
    RELATIONSHIP_ID,
    STARTED_AT,
    UNANSWERED_WEEK,
    RecordedRun,
    add_dead_letter,
    create_email,
    create_fault,
    create_webhook,
    healthy_run,
    session_id,
    session_time,
)

Corruption = Callable[[RecordedRun], object]
"""Corrupts one thing in a run."""

ON_TOPIC = "every acknowledged event is on its topic"
NO_DUPLICATES = "no acknowledged event is on its topic under two ids"
NOTHING_UNEXPECTED = "no topic has an event that no client caused"
LAPSES_PUBLISHED = "every lapsed feedback request is published"
DISPOSITIONS_PUBLISHED = "every acknowledgement and resolution of an alert is published once"
NO_CONTRADICTIONS = "no event and no state version is published with two contents"
HISTORY_STORED = "alliance stores every event of the history once, and no other"
STATES_EQUAL_REFOLD = "every state equals the refold"
SCORES_CORRECT = "every score is based on the acknowledged feedback"
STATES_PUBLISHED = "every state is published, and no other"
EPISODES_HAVE_ALERTS = "every episode has one alert with the matching status"
ALERTS_STORED = "notify stores exactly these alerts"
ONE_OPEN_ALERT = "no relationship has two open alerts"
INBOXES_CORRECT = "every inbox shows exactly its alerts"
ALERTS_RAISED_ONCE = "every alert is published once for each severity"
DELIVERED_ONCE = "every alert is delivered once on each required channel"
DELIVERED_TO_CLINICIAN = "every message reached its clinician and every webhook is signed"
NO_CASE_CODES = "no message identifies a client"
OUTBOX_EMPTY = "every outbox is empty"
EVENTS_HAVE_STATE = "every published event has its stored state"
PROJECTIONS_CURRENT = "every projection matches the published events"
DEAD_LETTERS_CORRECT = "the dead letters of alliance are exactly the poison messages"


def test_a_healthy_run_passes_all_checks() -> None:
    assert healthy_run().failed_checks() == []


# Source events


def remove_event(run: RecordedRun) -> None:
    run.remove(run.find_event(SessionMissed))


def change_rating(run: RecordedRun) -> None:
    run.replace_event(run.find_event(FeedbackSubmitted), ratings={"trust": 3.0})


def change_time(run: RecordedRun) -> None:
    run.replace_event(run.find_event(SessionCompleted), occurred_at=session_time(LAST_WEEK) + timedelta(days=1))


def amend_other_event(run: RecordedRun) -> None:
    run.replace_event(run.find_event(FeedbackAmended), amends=run.find_event(FeedbackSubmitted).id)


def remove_injected_events(run: RecordedRun) -> None:
    for event in run.injected:
        run.remove(event)


@pytest.mark.parametrize(
    "corrupt", [remove_event, change_rating, change_time, amend_other_event, remove_injected_events]
)
def test_an_acknowledged_event_that_is_missing_or_changed_is_detected(corrupt: Corruption) -> None:
    assert ON_TOPIC in failed_checks_after(corrupt)


def test_an_event_under_two_ids_is_detected() -> None:
    def duplicate(run: RecordedRun) -> None:
        run.publish(run.find_event(SessionCompleted).model_copy(update={"id": CLINIC_ID}))

    assert NO_DUPLICATES in failed_checks_after(duplicate)


def add_unknown_session(run: RecordedRun) -> None:
    fields = {
        "id": CLINIC_ID,
        "relationship_id": RELATIONSHIP_ID,
        "session_id": CLINIC_ID,
        "occurred_at": session_time(2),
    }
    run.publish(SessionMissed.model_validate(fields))


def add_invalid_record(run: RecordedRun) -> None:
    run.add_record(INTAKE, b"key", b"{}")


def change_key(run: RecordedRun) -> None:
    run.records[FEEDBACK.name][0].key = b"another"


def lapse_answered_session(run: RecordedRun) -> None:
    run.replace_event(run.find_event(FeedbackLapsed), session_id=session_id(LAST_WEEK))


def change_lapse_time(run: RecordedRun) -> None:
    run.replace_event(run.find_event(FeedbackLapsed), occurred_at=NOW)


@pytest.mark.parametrize(
    "corrupt", [add_unknown_session, add_invalid_record, change_key, lapse_answered_session, change_lapse_time]
)
def test_an_event_that_no_client_caused_is_detected(corrupt: Corruption) -> None:
    assert NOTHING_UNEXPECTED in failed_checks_after(corrupt)


def test_a_lapse_that_is_not_published_is_detected() -> None:
    assert LAPSES_PUBLISHED in failed_checks_after(lambda run: run.remove(run.find_event(FeedbackLapsed)))


def test_a_lapse_is_due_later_if_a_process_with_a_wrong_clock_may_have_completed_the_session() -> None:
    run = healthy_run()
    run.remove(run.find_event(FeedbackLapsed))
    run.faults.append(create_fault("the clock is wrong", "sessions", STARTED_AT))

    assert LAPSES_PUBLISHED not in run.failed_checks()


def test_one_id_with_two_contents_is_detected() -> None:
    def change_minutes(run: RecordedRun) -> None:
        run.publish(run.find_event(SessionCompleted).model_copy(update={"minutes": 10}))

    assert failed_checks_after(change_minutes) == [NO_CONTRADICTIONS]


def test_two_contents_of_one_version_are_detected() -> None:
    def change_sessions(run: RecordedRun) -> None:
        run.publish(run.find_event(AllianceUpdated).model_copy(update={"id": CLINIC_ID, "sessions": 99}))

    assert NO_CONTRADICTIONS in failed_checks_after(change_sessions)


def test_an_exact_duplicate_is_not_an_error() -> None:
    def duplicate(run: RecordedRun) -> None:
        run.publish(run.find_event(SessionCompleted), run.find_event(AllianceUpdated), run.find_event(AlertRaised))

    assert failed_checks_after(duplicate) == []


# States


def remove_stored_event(run: RecordedRun) -> None:
    run.databases["alliance"]["facts"].pop(run.find_event(SessionMissed).id)


def add_stored_event(run: RecordedRun) -> None:
    run.databases["alliance"]["facts"][CLINIC_ID] = dict(next(iter(run.databases["alliance"]["facts"].values())))


def change_stored_event(run: RecordedRun) -> None:
    first, second, *_ = run.databases["alliance"]["facts"].values()
    first["event"] = second["event"]


@pytest.mark.parametrize("corrupt", [remove_stored_event, add_stored_event, change_stored_event])
def test_an_event_that_alliance_does_not_store_exactly_once_is_detected(corrupt: Corruption) -> None:
    assert failed_checks_after(corrupt) == [HISTORY_STORED]


def change_state(run: RecordedRun) -> None:
    state = run.document("alliance", "alliances", RELATIONSHIP_ID)
    state["state"] = state["state"].replace('"missed":1', '"missed":0')


def remove_state(run: RecordedRun) -> None:
    run.databases["alliance"]["alliances"].pop(RELATIONSHIP_ID)


@pytest.mark.parametrize("corrupt", [change_state, remove_state])
def test_a_state_that_differs_from_the_refold_is_detected(corrupt: Corruption) -> None:
    assert STATES_EQUAL_REFOLD in failed_checks_after(corrupt)


@pytest.mark.parametrize(
    "changes", [{"sessions": 7}, {"missed": 2}, {"client_ratings": 8}, {"clinician_ratings": 7}, {"unanswered": 0}]
)
def test_a_count_that_differs_from_the_acknowledged_history_is_detected(changes: dict[str, int]) -> None:
    assert failed_checks_after(lambda run: run.alliances[RELATIONSHIP_ID].update(changes)) == [SCORES_CORRECT]


def test_a_score_that_differs_from_the_last_correction_is_detected() -> None:
    def change_rating_shown(run: RecordedRun) -> None:
        points = run.trajectories[RELATIONSHIP_ID]["points"]
        next(point for point in points if point["rating"] == 80)["rating"] = 90

    assert failed_checks_after(change_rating_shown) == [SCORES_CORRECT]


def test_a_relationship_that_alliance_does_not_know_is_detected() -> None:
    assert failed_checks_after(lambda run: run.alliances.update({RELATIONSHIP_ID: None})) == [SCORES_CORRECT]


def increment_version(run: RecordedRun) -> None:
    run.document("alliance", "alliances", RELATIONSHIP_ID)["v"] += 1


def decrement_version(run: RecordedRun) -> None:
    run.document("alliance", "alliances", RELATIONSHIP_ID)["v"] -= 1


def change_alliance_update(run: RecordedRun) -> None:
    run.replace_event(run.find_event(AllianceUpdated), sessions=1)


def remove_rupture_event(run: RecordedRun) -> None:
    run.remove(run.find_event(RuptureSuspected))


@pytest.mark.parametrize(
    "corrupt", [increment_version, decrement_version, change_alliance_update, remove_rupture_event]
)
def test_a_state_that_is_not_published_as_stored_is_detected(corrupt: Corruption) -> None:
    assert STATES_PUBLISHED in failed_checks_after(corrupt)


def test_an_open_episode_that_was_published_as_repaired_is_detected() -> None:
    def publish_repair(run: RecordedRun) -> None:
        fields = run.find_event(RuptureSuspected).model_dump(exclude={"id", "type"})
        run.publish(RuptureRepaired.model_validate({**fields, "id": CLINIC_ID, "version": fields["version"] + 1}))

    assert {STATES_PUBLISHED, EPISODES_HAVE_ALERTS} <= set(failed_checks_after(publish_repair))


# Alerts


def alert_id_of(run: RecordedRun) -> UUID:
    (alert_id,) = run.databases["notify"]["alerts"]
    return UUID(str(alert_id))


def remove_alerts(run: RecordedRun) -> None:
    run.databases["notify"]["alerts"].clear()


def add_alert_without_episode(run: RecordedRun) -> None:
    run.databases["notify"]["alerts"][CLINIC_ID] = run.document("notify", "alerts", alert_id_of(run))


def retract_alert(run: RecordedRun) -> None:
    run.document("notify", "alerts", alert_id_of(run))["status"] = "retracted"


def change_clinician(run: RecordedRun) -> None:
    run.document("notify", "alerts", alert_id_of(run))["clinician_id"] = RELATIONSHIP_ID


def decrement_alert_version(run: RecordedRun) -> None:
    run.document("notify", "alerts", alert_id_of(run))["said"]["version"] -= 1


@pytest.mark.parametrize(
    "corrupt", [remove_alerts, add_alert_without_episode, retract_alert, change_clinician, decrement_alert_version]
)
def test_an_alert_that_notify_does_not_store_as_expected_is_detected(corrupt: Corruption) -> None:
    assert ALERTS_STORED in failed_checks_after(corrupt)


def test_an_alert_for_an_episode_that_does_not_exist_is_detected() -> None:
    def publish_other_episode(run: RecordedRun) -> None:
        run.publish(run.find_event(RuptureSuspected).model_copy(update={"id": CLINIC_ID, "episode_id": CLINIC_ID}))
        update = run.find_event(AllianceUpdated, lambda candidate: candidate.relationship_id == RELATIONSHIP_ID)
        run.replace_event(update, open_episode_id=CLINIC_ID)

    assert EPISODES_HAVE_ALERTS in failed_checks_after(publish_other_episode)


def test_two_open_alerts_of_one_relationship_are_detected() -> None:
    def publish_other_episode(run: RecordedRun) -> None:
        suspected = run.find_event(RuptureSuspected)
        run.publish(
            suspected.model_copy(update={"id": CLINIC_ID, "episode_id": CLINIC_ID, "version": suspected.version + 1})
        )

    assert ONE_OPEN_ALERT in failed_checks_after(publish_other_episode)


@pytest.mark.parametrize("changes", [{"status": "acknowledged"}, {"severity": "watch"}, {"alert_id": str(CLINIC_ID)}])
def test_an_inbox_that_shows_something_else_is_detected(changes: dict[str, str]) -> None:
    assert failed_checks_after(lambda run: run.inboxes[CLINIC_ID]["alerts"][0].update(changes)) == [INBOXES_CORRECT]


def remove_raised_event(run: RecordedRun) -> None:
    run.remove(run.find_event(AlertRaised))


def change_raised_event_id(run: RecordedRun) -> None:
    run.replace_event(run.find_event(AlertRaised), id=CLINIC_ID)


def add_raised_event(run: RecordedRun) -> None:
    raised = run.find_event(AlertRaised)
    run.publish(raised.model_copy(update={"id": uuid5(raised.alert_id, "raised:watch"), "severity": "watch"}))


def change_raised_event_clinician(run: RecordedRun) -> None:
    run.replace_event(run.find_event(AlertRaised), clinician_id=RELATIONSHIP_ID)


@pytest.mark.parametrize(
    "corrupt", [remove_raised_event, change_raised_event_id, add_raised_event, change_raised_event_clinician]
)
def test_an_alert_that_is_not_published_once_for_each_severity_is_detected(corrupt: Corruption) -> None:
    assert ALERTS_RAISED_ONCE in failed_checks_after(corrupt)


def add_disposition(run: RecordedRun, action: str, unused: str = "") -> None:
    """Add a disposition that was acknowledged, stored and published."""
    alert_id, raised = alert_id_of(run), run.find_event(AlertRaised)
    common_fields = raised.model_dump(exclude={"type", "severity"}) | {
        "id": uuid5(alert_id, f"{action}:{raised.severity}")
    }
    response = {"status": action, "severity": raised.severity}
    paths = {"acknowledged": "acknowledgement", "resolved": "resolution"}
    body = {"useful": True} if action == "resolved" else {}
    last_request = run.requests[-1]
    run.requests.append(replace(last_request, path=f"/alerts/{alert_id}/{paths[action]}", body=body, response=response))
    if action == "resolved":
        run.publish(AlertResolved.model_validate({**common_fields, "useful": True}))
        run.databases["alliance"].setdefault("judgements", {})[common_fields["id"]] = {"useful": True}
    else:
        run.publish(AlertAcknowledged.model_validate(common_fields))
    run.document("notify", "alerts", alert_id).update({"status": action, action: {}})
    run.inboxes[CLINIC_ID]["alerts"][0]["status"] = action


@pytest.mark.parametrize("action", ["acknowledged", "resolved"])
def test_a_disposition_changes_the_expected_status_of_its_alert(action: str) -> None:
    assert failed_checks_after(lambda run: add_disposition(run, action)) == []


def remove_acknowledged_event(run: RecordedRun) -> None:
    add_disposition(run, "acknowledged")
    run.remove(run.find_event(AlertAcknowledged))


def change_usefulness(run: RecordedRun) -> None:
    add_disposition(run, "resolved")
    run.replace_event(run.find_event(AlertResolved), useful=False)


def remove_request(run: RecordedRun) -> None:
    add_disposition(run, "acknowledged")
    run.requests.pop()


def duplicate_acknowledged_event(run: RecordedRun) -> None:
    add_disposition(run, "acknowledged")
    run.publish(run.find_event(AlertAcknowledged).model_copy(update={"id": CLINIC_ID}))


@pytest.mark.parametrize(
    "corrupt", [remove_acknowledged_event, change_usefulness, remove_request, duplicate_acknowledged_event]
)
def test_a_disposition_that_is_not_published_once_is_detected(corrupt: Corruption) -> None:
    assert DISPOSITIONS_PUBLISHED in failed_checks_after(corrupt)


def test_a_disposition_that_alliance_does_not_store_is_detected() -> None:
    def remove_dispositions(run: RecordedRun) -> None:
        add_disposition(run, "resolved")
        run.databases["alliance"]["judgements"].clear()

    assert failed_checks_after(remove_dispositions) == [HISTORY_STORED]


# Messages


def remove_email(run: RecordedRun) -> None:
    run.received_emails.clear()


def remove_webhook_and_deliveries(run: RecordedRun) -> None:
    run.received_webhooks.clear()
    run.databases["notify"]["deliveries"].clear()


def add_email_without_alert(run: RecordedRun) -> None:
    run.received_emails.append(create_email(CLINIC_ID))


def fail_delivery(run: RecordedRun) -> None:
    next(iter(run.databases["notify"]["deliveries"].values()))["outcome"] = "failed"


def leave_delivery_due(run: RecordedRun) -> None:
    next(iter(run.databases["notify"]["deliveries"].values()))["next_at"] = NOW


def duplicate_email(run: RecordedRun) -> None:
    run.received_emails.append(create_email(alert_id_of(run)))


def triple_email(run: RecordedRun) -> None:
    run.received_emails += [create_email(alert_id_of(run))] * 2
    run.faults.append(create_fault("one is killed", "notify", NOW))


@pytest.mark.parametrize(
    "corrupt",
    [
        remove_email,
        remove_webhook_and_deliveries,
        add_email_without_alert,
        fail_delivery,
        leave_delivery_due,
        duplicate_email,
        triple_email,
    ],
)
def test_a_message_that_is_missing_unexpected_or_duplicate_is_detected(corrupt: Corruption) -> None:
    assert DELIVERED_ONCE in failed_checks_after(corrupt)


@pytest.mark.parametrize(
    ("target", "offset_seconds", "is_explained"),
    [
        ("notify", 10, True),
        ("kafka and mongodb", 10, True),
        ("mail", -10, True),
        ("alliance", 10, False),
        ("notify", -120, False),
        ("notify", 90, False),
    ],
)
def test_a_duplicate_message_needs_a_fault_between_the_two_arrivals(
    target: str, offset_seconds: float, is_explained: bool
) -> None:
    run = healthy_run()
    run.received_emails.append(create_email(alert_id_of(run), received_at=NOW + timedelta(seconds=60)))
    fault_started_at = NOW + timedelta(seconds=offset_seconds)
    run.faults.append(create_fault("is killed", target, fault_started_at))

    assert (DELIVERED_ONCE not in run.failed_checks()) is is_explained


def misdirect_email(run: RecordedRun) -> None:
    run.received_emails[0] = create_email(alert_id_of(run), recipient="theirs@example.org")


def expire_signature(run: RecordedRun) -> None:
    run.received_webhooks[0] = replace(create_webhook(alert_id_of(run)), received_at=NOW + timedelta(hours=1))


@pytest.mark.parametrize("corrupt", [misdirect_email, expire_signature])
def test_a_message_to_another_clinician_or_with_an_expired_signature_is_detected(corrupt: Corruption) -> None:
    assert failed_checks_after(corrupt) == [DELIVERED_TO_CLINICIAN]


def test_a_message_that_identifies_the_client_is_detected() -> None:
    assert failed_checks_after(lambda run: run.received_emails[0].message.set_content("http://here/AB-1234")) == [
        NO_CASE_CODES
    ]


# Outbox and projections


def test_a_pending_outbox_entry_is_detected() -> None:
    def add_outbox_entry(run: RecordedRun) -> None:
        run.document("sessions", "sessions", session_id(MISSED_WEEK))["owed"] = [{"id": CLINIC_ID}]

    assert failed_checks_after(add_outbox_entry) == [OUTBOX_EMPTY]


def remove_session_document(run: RecordedRun) -> None:
    run.databases["sessions"]["sessions"].pop(session_id(MISSED_WEEK))


def remove_outcome(run: RecordedRun) -> None:
    run.document("sessions", "sessions", session_id(LAST_WEEK))["outcome"] = None


def change_start(run: RecordedRun) -> None:
    run.document("sessions", "sessions", session_id(LAST_WEEK))["starts_at"] = session_time(1)


def remove_answer(run: RecordedRun) -> None:
    run.document("sessions", "sessions", session_id(LAST_WEEK))["feedback"]["client"]["status"] = "awaiting"


def change_answer(run: RecordedRun) -> None:
    run.document("sessions", "sessions", session_id(LAST_WEEK))["feedback"]["client"]["answer"]["ratings"]["fit"] = 9


def remove_lapse(run: RecordedRun) -> None:
    run.document("sessions", "sessions", session_id(UNANSWERED_WEEK))["feedback"]["client"]["status"] = "awaiting"


def remove_relationships(run: RecordedRun) -> None:
    run.databases["intake"]["relationships"].clear()


def remove_consents(run: RecordedRun) -> None:
    run.document("intake", "relationships", RELATIONSHIP_ID)["consents"] = []


@pytest.mark.parametrize(
    "corrupt",
    [
        remove_session_document,
        remove_outcome,
        change_start,
        remove_answer,
        change_answer,
        remove_lapse,
        remove_relationships,
        remove_consents,
    ],
)
def test_an_event_without_its_state_is_detected(corrupt: Corruption) -> None:
    assert failed_checks_after(corrupt) == [EVENTS_HAVE_STATE]


def remove_session_projection(run: RecordedRun) -> None:
    run.databases["sessions"]["relationships"].pop(RELATIONSHIP_ID)


def change_projected_consent(run: RecordedRun) -> None:
    run.document("sessions", "relationships", RELATIONSHIP_ID)["consent"] = False


def decrement_projected_version(run: RecordedRun) -> None:
    run.document("notify", "relationships", RELATIONSHIP_ID)["alliance_version"] -= 1


def add_projected_appointment(run: RecordedRun) -> None:
    appointment = {"session_id": CLINIC_ID, "starts_at": NOW + timedelta(days=1), "called_off": False}
    run.document("notify", "relationships", RELATIONSHIP_ID)["appointments"].append(appointment)


@pytest.mark.parametrize(
    "corrupt",
    [
        remove_session_projection,
        change_projected_consent,
        decrement_projected_version,
        add_projected_appointment,
    ],
)
def test_a_projection_that_misses_an_event_is_detected(corrupt: Corruption) -> None:
    assert failed_checks_after(corrupt) == [PROJECTIONS_CURRENT]


# Dead letters


def remove_dead_letter(run: RecordedRun) -> None:
    run.records[dead_letter_topic("alliance").name].pop()


def change_dead_letter(run: RecordedRun) -> None:
    run.records[dead_letter_topic("alliance").name][0].value = b"{}"


def remove_error_header(run: RecordedRun) -> None:
    dead_letter = run.records[dead_letter_topic("alliance").name][0]
    dead_letter.headers = [(name, value) for name, value in dead_letter.headers if name == "attune-origin"]


def add_needless_dead_letter(run: RecordedRun) -> None:
    add_dead_letter(run, "alliance", run.poison[0], f"{ALLIANCE.name}/0/0")


def remove_poison(run: RecordedRun) -> None:
    run.records[INTAKE.name] = [record for record in run.records[INTAKE.name] if record.value != b"{not json"]


@pytest.mark.parametrize(
    "corrupt", [remove_dead_letter, change_dead_letter, remove_error_header, add_needless_dead_letter, remove_poison]
)
def test_dead_letters_that_are_not_exactly_the_poison_messages_are_detected(corrupt: Corruption) -> None:
    assert DEAD_LETTERS_CORRECT in failed_checks_after(corrupt)


def test_a_duplicate_dead_letter_is_not_an_error() -> None:
    def duplicate(run: RecordedRun) -> None:
        dead_letter_records = run.records[dead_letter_topic("alliance").name]
        dead_letter_records.append(dead_letter_records[0])

    assert failed_checks_after(duplicate) == []


# Lag and readiness


def test_a_consumer_with_lag_and_a_service_that_is_not_ready_are_detected() -> None:
    assert failed_checks_after(lambda run: run.lag.update(alliance=3)) == ["no consumer has any lag"]
    assert failed_checks_after(lambda run: run.unready_services.append("notify")) == ["every service is ready"]


def failed_checks_after(corrupt: Corruption) -> list[str]:
    """The checks that fail after `corrupt` has changed a healthy run."""
    run = healthy_run()
    corrupt(run)
    return run.failed_checks()
