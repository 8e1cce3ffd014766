"""The checker detects every acknowledgement and resolution that is not published and stored once."""

from dataclasses import replace
from uuid import uuid5

import pytest

from shared.events import AlertAcknowledged, AlertRaised, AlertResolved
from tests.unit.system.chaos.checker.corruption import (
    DISPOSITIONS_PUBLISHED,
    HISTORY_STORED,
    Corruption,
    alert_id_of,
    failed_checks_after,
)
from tests.unit.system.chaos.checker.healthy_run import fold_resolution
from tests.unit.system.chaos.checker.recorded_requests import CLINIC_ID
from tests.unit.system.chaos.checker.recorded_run import RecordedRun


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
        resolved = AlertResolved.model_validate({**common_fields, "useful": True})
        run.publish(resolved)
        fold_resolution(run, resolved)
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
