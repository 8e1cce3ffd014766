"""The checker detects every difference between the episodes and the alerts of notify."""

from uuid import uuid5

import pytest

from shared.events import AlertRaised, AllianceUpdated, RuptureSuspected
from tests.unit.system.chaos.checker.corruption import (
    ALERTS_RAISED_ONCE,
    ALERTS_STORED,
    EPISODES_HAVE_ALERTS,
    INBOXES_CORRECT,
    ONE_OPEN_ALERT,
    Corruption,
    alert_id_of,
    failed_checks_after,
)
from tests.unit.system.chaos.checker.recorded_requests import CLINIC_ID, RELATIONSHIP_ID
from tests.unit.system.chaos.checker.recorded_run import RecordedRun


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
