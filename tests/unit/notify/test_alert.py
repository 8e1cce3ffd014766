"""Alerts as a function of the events about a relationship."""

from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify.domain import relationship as relationships
from services.notify.domain.alert import fold_alerts, raised_events
from services.notify.domain.relationship import HistoryEvent, Relationship
from services.notify.domain.routing import notifiable_change
from shared.events import RelationshipEvent, Severity
from shared.events.intake import EndReason
from tests.support.dispositions import acknowledge, resolve
from tests.support.rupture_builder import RuptureBuilder
from tests.unit.notify.histories import NOW, alerts_after, histories, only_alert_after


@settings(deadline=None)
@given(history=histories(), data=st.data())
def test_any_order_and_any_repetition_give_the_same_alerts(
    history: list[RelationshipEvent], data: st.DataObject
) -> None:
    repeated = data.draw(st.lists(st.sampled_from(history), max_size=5))
    shuffled = data.draw(st.permutations([*history, *repeated]))
    cuts = data.draw(st.lists(st.integers(1, 4), max_size=len(shuffled)))
    batches = []
    while shuffled:
        size = cuts.pop() if cuts else 1
        batches.append(shuffled[:size])
        shuffled = shuffled[size:]

    assert alerts_after(*batches) == alerts_after(history)


def test_repeated_events_of_an_episode_raise_one_alert() -> None:
    s = RuptureBuilder(NOW)

    assert alerts_after([s.suspected(3), s.suspected(3)], [s.suspected(3), s.changed(4)]).keys() == {s.alert_id()}


def test_an_episode_whose_first_event_was_missed_is_raised_by_the_next() -> None:
    s = RuptureBuilder(NOW)

    assert only_alert_after([s.started(), s.changed(4), s.updated(4, 0)]).status == "open"


def test_a_lower_version_changes_nothing() -> None:
    s = RuptureBuilder(NOW)

    late = only_alert_after([s.changed(5, "urgent")], [s.suspected(3, "watch")])

    assert (late.severity, late.episode.version) == ("urgent", 5)


def test_an_alert_that_the_alliance_no_longer_names_is_retracted() -> None:
    s = RuptureBuilder(NOW)
    events = [s.started(), s.suspected(3), s.updated(3, 0)]

    assert only_alert_after(events).status == "open"
    assert only_alert_after(events, [s.updated(2)]).status == "open"
    assert only_alert_after([s.started(), s.suspected(3), s.updated(3)]).status == "retracted"
    assert only_alert_after(events, [s.updated(4)]).status == "retracted"
    assert only_alert_after(events, [s.updated(4, episode=1)]).status == "retracted"
    assert only_alert_after(events, [s.updated(4)], [s.changed(5), s.updated(5, 0)]).status == "open"


@pytest.mark.parametrize(
    ("severity", "reason", "end_reason", "expected_status", "expected_reason"),
    [
        ("urgent", "ended", "stopped_by_client", "open", "ended_by_client"),
        ("watch", "ended", "stopped_by_client", "open", "ended_by_client"),
        ("urgent", "ended", "transferred", "open", "transferred"),
        ("concern", "ended", "transferred", "retracted", "transferred"),
        ("urgent", "ended", "completed", "retracted", "ended_as_planned"),
        ("urgent", "ended", "stopped_by_clinician", "retracted", "ended"),
        ("urgent", "ended", None, "retracted", "ended"),
        ("urgent", "amended", None, "retracted", "corrected"),
        ("urgent", "consent_withdrawn", None, "retracted", "consent_withdrawn"),
    ],
)
def test_an_alert_keeps_why_it_ended_and_stays_open_if_somebody_must_read_it(
    severity: Severity, reason: str, end_reason: EndReason | None, expected_status: str, expected_reason: str
) -> None:
    s = RuptureBuilder(NOW)
    ended = s.retracted(4, severity, reason=reason, end_reason=end_reason)

    alert = only_alert_after([s.started(), s.suspected(3, severity), s.updated(3, 0), ended, s.updated(4)])

    assert (alert.status, alert.episode.end_reason) == (expected_status, expected_reason)
    assert alert.is_active == (expected_status == "open")
    assert acknowledge(alert, NOW)[0].status == "retracted"


def test_an_alert_that_was_read_before_the_client_ended_the_therapy_is_not_opened_again() -> None:
    s = RuptureBuilder(NOW)
    alert = only_alert_after([s.started(), s.suspected(3), s.updated(3, 0)])
    relationship = Relationship(relationship_id=s.relationship_id, clinician_id=s.clinician_id)
    ended = s.retracted(4, reason="ended", end_reason="stopped_by_client")

    (read,) = fold_alerts({alert.id: acknowledge(alert, NOW)[0]}, [ended], relationship).values()

    assert read.status == "retracted"


def test_of_an_alert_whose_client_withdrew_consent_only_the_reason_remains() -> None:
    s = RuptureBuilder(NOW)

    alert = only_alert_after([s.started(), s.suspected(3), s.retracted(4, reason="consent_withdrawn")])

    assert (alert.episode.end_reason, alert.episode.evidence) == ("consent_withdrawn", ())


def test_withdrawn_consent_ends_what_had_become_of_an_alert_and_later_consent_does_not_bring_it_back() -> None:
    s = RuptureBuilder(NOW)
    raised = [s.started(), s.consent_given(), s.suspected(3), s.updated(3, 0)]
    repaired = [*raised, s.repaired(4), s.updated(4)]

    for events in (raised, repaired):
        for later in ([], [s.consent_given(days_ago=0)]):
            alert = only_alert_after([*events, s.consent_withdrawn(days_ago=1)], later)
            assert (alert.is_withdrawn, alert.status, alert.is_active) == (True, "retracted", False)
            assert (alert.episode.end_reason, alert.episode.evidence) == ("consent_withdrawn", ())
            assert notifiable_change(alert) is None


def test_an_alert_without_consent_is_hidden_until_the_consent_arrives() -> None:
    s = RuptureBuilder(NOW)
    withdrawn = [s.started(), s.consent_withdrawn(days_ago=4), s.suspected(3), s.updated(3, 0)]

    hidden, again = only_alert_after(withdrawn), only_alert_after(withdrawn, [s.consent_given(days_ago=3)])
    same_moment = only_alert_after(withdrawn, [s.consent_given(days_ago=4)])

    assert [(a.is_withdrawn, a.status) for a in (hidden, same_moment)] == [(True, "retracted")] * 2
    assert (again.is_withdrawn, again.status, len(again.episode.evidence)) == (False, "open", 1)


def test_a_repaired_alert_stays_repaired_when_nothing_is_open() -> None:
    s = RuptureBuilder(NOW)

    assert (
        only_alert_after([s.started(), s.suspected(3), s.updated(3, 0)], [s.repaired(4), s.updated(4)]).status
        == "repaired"
    )


def test_an_alert_whose_relationship_is_unknown_waits_for_it() -> None:
    s = RuptureBuilder(NOW)

    waiting = only_alert_after([s.suspected(3), s.updated(3, 0)])
    complete = only_alert_after([s.suspected(3), s.updated(3, 0)], [s.started()])

    assert raised_events(waiting) == []
    assert complete.clinician_id == s.clinician_id
    assert [event.severity for _, event in raised_events(complete)] == ["concern"]


def test_an_alert_is_published_under_the_same_event_id_each_time() -> None:
    s = RuptureBuilder(NOW)

    first, repeated = (
        only_alert_after([s.started(), s.suspected(3)]),
        only_alert_after([s.suspected(3)], [s.changed(4), s.started()]),
    )

    assert raised_events(first) == raised_events(repeated)


def test_an_escalation_is_published_and_a_lower_severity_is_not() -> None:
    s = RuptureBuilder(NOW)

    alert = only_alert_after(
        [s.started(), s.suspected(1, "watch"), s.changed(2), s.changed(3, "watch"), s.changed(4, "urgent")]
    )

    assert [(version, event.severity) for version, event in raised_events(alert)] == [
        (1, "watch"),
        (2, "concern"),
        (4, "urgent"),
    ]


def test_a_severity_that_was_reached_before_by_a_higher_one_is_no_escalation() -> None:
    s = RuptureBuilder(NOW)

    alert = only_alert_after([s.started(), s.suspected(1, "concern"), s.changed(2, "watch"), s.changed(3, "urgent")])

    assert [severity for severity, _ in alert.escalations] == ["concern", "urgent"]


def test_an_alert_that_escalates_after_it_was_acknowledged_or_resolved_is_open_again() -> None:
    s = RuptureBuilder(NOW)
    alert = only_alert_after([s.started(), s.suspected(3)])
    relationship = Relationship(relationship_id=s.relationship_id, clinician_id=s.clinician_id)

    for handled, _ in (acknowledge(alert, NOW), resolve(alert, True, NOW)):
        (same,) = fold_alerts({alert.id: handled}, [s.changed(4)], relationship).values()
        (escalated,) = fold_alerts({alert.id: handled}, [s.changed(4, "urgent")], relationship).values()

        assert same.status == handled.status
        assert notifiable_change(same) is None
        assert escalated.status == "open"
        assert notifiable_change(escalated) == "rose"
        (event,) = acknowledge(escalated, NOW)[1]
        assert event.id != acknowledge(alert, NOW)[1][0].id


def test_a_repaired_alert_can_be_resolved_as_useful_but_not_acknowledged() -> None:
    s = RuptureBuilder(NOW)
    alert = only_alert_after([s.started(), s.suspected(3), s.repaired(4), s.updated(4)])

    assert acknowledge(alert, NOW) == (alert, ())
    assert resolve(alert, True, NOW)[0].status == "resolved"


def test_the_erasure_of_a_client_is_final() -> None:
    s = RuptureBuilder(NOW)
    events: list[HistoryEvent] = [s.started(), s.scheduled(2), s.erased(), s.started(), s.updated(4, 0)]

    relationship = reduce(relationships.evolve, events, Relationship(relationship_id=s.relationship_id))

    assert relationship == Relationship(relationship_id=s.relationship_id, erased=True)
