"""What clinicians ask for about an alert counts once, and only for what they were shown."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from services.notify.domain.alert import Alert
from services.notify.domain.disposition import DispositionAction
from services.notify.domain.disposition_requests import MAX_DISPOSITIONS, DispositionRequest, decide
from shared.errors import Rejected
from shared.events import AlertAcknowledged, AlertResolved, RelationshipEvent
from tests.support.dispositions import acknowledge, reopen, resolve
from tests.support.rupture_builder import RuptureBuilder
from tests.unit.notify.histories import NOW, only_alert_after


def test_a_request_that_is_sent_again_counts_once_and_its_id_counts_for_nothing_else() -> None:
    s = RuptureBuilder(NOW)
    alert = only_alert_after([s.started(), s.suspected(3)])
    request = DispositionRequest(UUID(int=1), "acknowledged", alert.shown)

    acknowledged, first_events = decide(alert, request, NOW)

    assert [type(event) for event in first_events] == [AlertAcknowledged]
    assert acknowledged.status == "acknowledged"
    assert decide(acknowledged, request, NOW + timedelta(hours=1)) == (acknowledged, ())
    for other in (
        replace(request, action="resolved"),
        replace(request, action="resolved", useful=True),
        replace(request, action="reopened", disposition_id=first_events[0].id),
    ):
        with pytest.raises(Rejected) as rejected:
            decide(acknowledged, other, NOW)
        assert rejected.value.code == "id-already-used"


def test_acknowledging_what_is_acknowledged_changes_nothing() -> None:
    s = RuptureBuilder(NOW)
    acknowledged, _ = acknowledge(only_alert_after([s.started(), s.suspected(3)]), NOW)

    assert acknowledge(acknowledged, NOW + timedelta(hours=1)) == (acknowledged, ())


def test_a_disposition_of_an_alert_that_has_changed_since_it_was_shown_is_rejected() -> None:
    s = RuptureBuilder(NOW)
    shown = only_alert_after([s.started(), s.suspected(3)])
    same = only_alert_after([s.started(), s.suspected(3)], [s.changed(4, days_ago=1)])
    changes: list[Sequence[RelationshipEvent]] = [
        [s.changed(4, "urgent", days_ago=1)],
        [s.changed(4, days_ago=0.5)],
        [s.repaired(4, days_ago=1), s.updated(4)],
        [s.retracted(4, days_ago=1, reason="ended", end_reason="stopped_by_client"), s.updated(4)],
    ]
    actions: list[DispositionAction] = ["acknowledged", "resolved", "reopened"]

    assert same.shown == shown.shown
    for change in changes:
        changed = only_alert_after([s.started(), s.suspected(3)], change)
        for action in actions:
            with pytest.raises(Rejected) as rejected:
                decide(changed, DispositionRequest(UUID(int=1), action, shown.shown), NOW)
            assert rejected.value.code == "alert-changed"


def test_only_the_disposition_that_decides_the_status_can_be_taken_back() -> None:
    s = RuptureBuilder(NOW)
    alert = only_alert_after([s.started(), s.suspected(3)])
    acknowledged, (acknowledged_event,) = acknowledge(alert, NOW)
    resolved, (resolved_event,) = resolve(acknowledged, False, NOW)

    def take_back(alert: Alert, disposition_id: UUID) -> Alert:
        return decide(alert, DispositionRequest(uuid4(), "reopened", alert.shown, None, disposition_id), NOW)[0]

    for before, disposition_id in ((alert, acknowledged_event.id), (resolved, acknowledged_event.id)):
        with pytest.raises(Rejected) as rejected:
            take_back(before, disposition_id)
        assert rejected.value.code == "not-current"
    reopened = take_back(resolved, resolved_event.id)
    assert reopened.status == "acknowledged"
    assert take_back(reopened, acknowledged_event.id).status == "open"


def test_reading_that_the_client_ended_the_therapy_can_be_taken_back() -> None:
    s = RuptureBuilder(NOW)
    ended = s.retracted(4, reason="ended", end_reason="stopped_by_client")
    alert = only_alert_after([s.started(), s.suspected(3), ended, s.updated(4)])

    read, _ = acknowledge(alert, NOW)

    assert read.status == "retracted"
    assert reopen(read, NOW)[0].status == "open"


def test_a_request_whose_disposition_was_taken_back_does_not_count_again() -> None:
    s = RuptureBuilder(NOW)
    alert = only_alert_after([s.started(), s.suspected(3)])
    request = DispositionRequest(UUID(int=1), "acknowledged", alert.shown)
    reopened, _ = reopen(decide(alert, request, NOW)[0], NOW)

    assert reopened.shown == alert.shown
    with pytest.raises(Rejected) as rejected:
        decide(reopened, request, NOW)
    assert rejected.value.code == "taken-back"


def test_an_alert_takes_a_bounded_number_of_dispositions() -> None:
    s = RuptureBuilder(NOW)
    alert = only_alert_after([s.started(), s.suspected(3)])

    while len(alert.dispositions) < MAX_DISPOSITIONS:
        alert, _ = reopen(acknowledge(alert, NOW)[0], NOW)

    with pytest.raises(Rejected, match="100 dispositions"):
        acknowledge(alert, NOW)


def test_resolving_again_changes_nothing_and_with_another_statement_is_rejected() -> None:
    s = RuptureBuilder(NOW)
    alert = only_alert_after([s.started(), s.suspected(3)])

    resolved, (event,) = resolve(alert, True, NOW, "changed_something")

    assert resolved.status == "resolved"
    assert isinstance(event, AlertResolved)
    assert (event.useful, event.disposition) == (True, "changed_something")
    assert resolve(resolved, True, NOW, "changed_something") == (resolved, ())
    for useful, disposition in ((False, "changed_something"), (True, "no_action"), (True, None)):
        with pytest.raises(Rejected, match="reopen it first"):
            resolve(resolved, useful, NOW, disposition)  # type: ignore[arg-type]
