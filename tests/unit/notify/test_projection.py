"""Notify's view when all events are folded at once, as a rebuild does."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain.alert import Alert
from services.notify.domain.projection import RelationshipProjection, fold_forward, with_dispositions_of
from services.notify.domain.relationship import Relationship
from shared.events import AlertAcknowledged, Event, RelationshipEvent
from tests.support.dispositions import acknowledge, reopen, resolve
from tests.support.rupture_builder import RuptureBuilder
from tests.unit.notify.histories import NOW, contradictory_histories, histories


def project(*batches: Sequence[RelationshipEvent]) -> RelationshipProjection:
    projection = RelationshipProjection(Relationship(relationship_id=batches[0][0].relationship_id))
    for batch in batches:
        projection = fold_forward(projection, batch)
    return projection


@given(history=histories(), data=st.data())
def test_folding_all_events_at_once_equals_folding_them_one_by_one(
    history: list[RelationshipEvent], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(history))

    assert project(history) == project(*([event] for event in shuffled))


@given(history=contradictory_histories(), data=st.data())
def test_of_several_contents_under_one_id_the_same_one_counts_in_any_order(
    history: list[RelationshipEvent], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations([*history, *history]))

    assert project(history) == project(*([event] for event in shuffled))


def test_dispositions_are_restored_from_their_events_in_any_order() -> None:
    s = RuptureBuilder(NOW)
    raised, escalated = [s.started(), s.suspected(3), s.updated(3, 0)], [s.changed(4, "urgent"), s.updated(4, 0)]
    alert = project(raised).alerts[s.alert_id()]
    events: list[Event] = [*raised]
    statuses = []
    steps: list[Callable[[Alert], tuple[Alert, Sequence[Event]]]] = [
        lambda alert: acknowledge(alert, NOW),
        lambda alert: resolve(alert, True, NOW + timedelta(hours=1), "talked_about"),
        lambda alert: reopen(alert, NOW + timedelta(hours=2)),
        lambda alert: reopen(alert, NOW + timedelta(hours=3)),
    ]
    for step in steps:
        alert, new_events = step(alert)
        events += new_events
        statuses.append(alert.status)
        assert project([e for e in reversed(events) if isinstance(e, RelationshipEvent)]).alerts == {alert.id: alert}
    events += escalated
    resolved, resolved_events = resolve(
        alert.model_copy(update={"episode": project(escalated).alerts[alert.id].episode}), True, NOW
    )

    rebuilt = project([e for e in (*events, *resolved_events) if isinstance(e, RelationshipEvent)]).alerts[alert.id]

    assert statuses == ["acknowledged", "resolved", "acknowledged", "open"]
    assert rebuilt.dispositions == resolved.dispositions
    assert rebuilt.status == "resolved"


def test_a_disposition_of_an_older_version_without_a_severity_covers_none() -> None:
    s = RuptureBuilder(NOW)
    alert = project([s.started(), s.suspected(3), s.updated(3, 0)]).alerts[s.alert_id()]
    (event,) = acknowledge(alert, NOW)[1]
    assert isinstance(event, AlertAcknowledged)

    events = [s.started(), s.suspected(3), s.updated(3, 0), event.model_copy(update={"severity": None})]

    assert project(events).alerts == {alert.id: alert}


def test_a_disposition_that_is_not_yet_published_is_kept() -> None:
    s = RuptureBuilder(NOW)
    rebuilt = project([s.started(), s.suspected(3), s.updated(3, 0)]).alerts[s.alert_id()]
    stored, _ = acknowledge(rebuilt, NOW)

    assert with_dispositions_of(rebuilt, stored) == stored
    assert with_dispositions_of(stored, rebuilt) == stored


def test_a_published_disposition_wins_over_a_stored_one_of_the_same_id() -> None:
    s = RuptureBuilder(NOW)
    rebuilt = project([s.started(), s.suspected(3), s.updated(3, 0)]).alerts[s.alert_id()]
    published, _ = resolve(rebuilt, True, NOW)
    altered = published.model_copy(
        update={
            "dispositions": tuple(
                d.model_copy(update={"useful": False, "at": NOW + timedelta(days=1)}) for d in published.dispositions
            )
        }
    )
    later, _ = acknowledge(rebuilt, NOW)

    assert with_dispositions_of(published, altered) == published
    assert len(with_dispositions_of(published, later).dispositions) == 2


def test_of_an_erased_client_only_the_erasure_remains() -> None:
    s = RuptureBuilder(NOW)

    projection = project([s.started(), s.suspected(3)], [s.erased()], [s.changed(4)])

    assert projection == RelationshipProjection(Relationship(relationship_id=s.relationship_id, erased=True))


def test_a_cancellation_that_was_taken_back_leaves_the_appointment_the_next_session() -> None:
    s = RuptureBuilder(NOW)
    events: list[RelationshipEvent] = [s.started(), s.scheduled(3), s.cancelled(3), s.reinstated(3)]

    for order in (events, events[::-1]):
        assert project(order).relationship.next_session_at(NOW) == NOW + timedelta(days=3)
    cancelled_again = s.cancelled(3).model_copy(update={"correction": 1})
    assert project([*events, cancelled_again]).relationship.next_session_at(NOW) is None


def test_an_alert_of_a_relationship_that_ended_by_mistake_is_open_again() -> None:
    s = RuptureBuilder(NOW)
    events = [s.started(), s.suspected(3), s.updated(3, 0), s.ended()]
    events += [s.retracted(4, reason="ended", end_reason="completed"), s.updated(4)]

    projection = project([*events, s.reopened(), s.changed(5), s.updated(5, 0)])

    assert projection.relationship.ended_at is None
    assert [alert.status for alert in projection.alerts.values()] == ["open"]


def test_an_alert_whose_ground_was_corrected_says_so() -> None:
    s = RuptureBuilder(NOW)

    (alert,) = project([s.started(), s.suspected(3), s.updated(3, 0), s.retracted(4), s.updated(4)]).alerts.values()

    assert (alert.status, alert.episode.end_reason) == ("retracted", "corrected")
