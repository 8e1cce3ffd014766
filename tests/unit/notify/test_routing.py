"""Which messages are planned, when, and in which words."""

from datetime import UTC, datetime, timedelta
from functools import reduce
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.notify.domain import relationship as relationships
from services.notify.domain.alert import Alert, evolve, fold_alerts
from services.notify.domain.relationship import HistoryEvent, Relationship
from services.notify.domain.routing import (
    CHANNEL_NAMES,
    ChannelAddresses,
    WebhookAddress,
    is_recent,
    notifiable_change,
    plan_deliveries,
    retry_wait,
)
from services.notify.settings import Settings
from shared.events import RuptureEvent
from tests.support.dispositions import acknowledge, resolve
from tests.support.rupture_builder import RuptureBuilder

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
BOTH_ADDRESSES = ChannelAddresses(
    email="someone@clinic.example", webhook=WebhookAddress(url="https://clinic.example/hook", secret="c2VjcmV0")
)


def create_alert(s: RuptureBuilder, *events: RuptureEvent) -> Alert:
    relationship = Relationship(relationship_id=s.relationship_id, clinician_id=s.clinician_id)
    (created,) = fold_alerts({}, events, relationship).values()
    return created


def test_concern_and_urgent_need_a_message_and_watch_does_not() -> None:
    s = RuptureBuilder(NOW)

    assert notifiable_change(create_alert(s, s.suspected(1, "watch"))) is None
    assert notifiable_change(create_alert(s, s.suspected(1, "concern"))) == "raised"
    assert notifiable_change(create_alert(s, s.suspected(1, "urgent"))) == "raised"
    assert notifiable_change(create_alert(s, s.suspected(1, "watch"), s.changed(2, "urgent"))) == "raised"
    assert notifiable_change(create_alert(s, s.suspected(1, "concern"), s.changed(2, "urgent"))) == "rose"


def test_a_closed_or_acknowledged_alert_needs_no_message() -> None:
    s = RuptureBuilder(NOW)
    open_alert = create_alert(s, s.suspected(1))

    assert notifiable_change(create_alert(s, s.suspected(1), s.repaired(2))) is None
    assert notifiable_change(create_alert(s, s.suspected(1), s.retracted(2))) is None
    assert notifiable_change(acknowledge(open_alert, NOW)[0]) is None
    assert notifiable_change(resolve(open_alert, None, NOW)[0]) is None


def test_an_alert_from_history_is_not_recent_until_a_newer_sign_comes() -> None:
    s = RuptureBuilder(NOW)
    week = timedelta(days=7)

    assert not is_recent(create_alert(s, s.suspected(1, days_ago=8)), NOW, week)
    assert is_recent(create_alert(s, s.suspected(1, days_ago=8), s.changed(2, days_ago=1)), NOW, week)


def test_each_change_is_planned_once_for_each_channel() -> None:
    s = RuptureBuilder(NOW)
    open_alert = create_alert(s, s.suspected(1))

    planned = plan_deliveries(open_alert, {s.clinician_id: BOTH_ADDRESSES})

    assert {d.id for d in planned} == {uuid5(s.alert_id(), "raised:email"), uuid5(s.alert_id(), "raised:webhook")}
    assert plan_deliveries(evolve(open_alert, s.changed(2)), {s.clinician_id: BOTH_ADDRESSES}) == planned
    assert plan_deliveries(open_alert, {}) == []
    assert {
        d.change for d in plan_deliveries(evolve(open_alert, s.changed(2, "urgent")), {s.clinician_id: BOTH_ADDRESSES})
    } == {"rose"}


def test_the_wait_between_attempts_doubles_up_to_an_hour() -> None:
    first_wait = timedelta(seconds=30)

    assert [retry_wait(n, first_wait).total_seconds() for n in (1, 2, 3)] == [30, 60, 120]
    assert retry_wait(10_000, first_wait) == timedelta(hours=1)


def test_the_next_session_is_the_soonest_future_one_that_was_not_cancelled() -> None:
    s = RuptureBuilder(NOW)
    events: list[HistoryEvent] = [
        s.scheduled(9, 1),
        s.scheduled(2, 2),
        s.scheduled(-1, 3),
        s.scheduled(1, 4),
        s.cancelled(1, 4),
    ]

    relationship = reduce(relationships.evolve, events, Relationship(relationship_id=s.relationship_id))

    assert relationship.next_session_at(NOW) == NOW + timedelta(days=2)
    assert relationship.next_session_at(NOW + timedelta(days=3)) == NOW + timedelta(days=9)
    assert relationships.evolve(relationship, s.ended()).next_session_at(NOW) is None


@settings(deadline=None)
@given(data=st.data())
def test_appointments_are_the_same_in_any_order_of_events(data: st.DataObject) -> None:
    s = RuptureBuilder(NOW, relationship_id=UUID(int=1))
    events: list[HistoryEvent] = [
        s.scheduled(1, 0, hours_ago=9),
        s.scheduled(4, 0, hours_ago=5),  # moved
        s.scheduled(2, 1, hours_ago=8),
        s.cancelled(2, 1, hours_ago=3),
        s.scheduled(3, 3, hours_ago=4),
        s.cancelled(3, 3, hours_ago=6),  # the call came before the appointment was entered
        s.scheduled(6, 2, hours_ago=7),
    ]
    repeated = data.draw(st.lists(st.sampled_from(events), max_size=4))

    relationship = reduce(
        relationships.evolve,
        data.draw(st.permutations([*events, *repeated])),
        Relationship(relationship_id=s.relationship_id),
    )

    assert relationship.next_session_at(NOW) == NOW + timedelta(days=4)


def test_a_cancellation_ends_an_appointment_that_was_entered_or_moved_after_it() -> None:
    s = RuptureBuilder(NOW)
    entered: list[HistoryEvent] = [s.scheduled(3, hours_ago=0), s.cancelled(3, hours_ago=1)]
    moved: list[HistoryEvent] = [s.scheduled(3, hours_ago=5), s.scheduled(4, hours_ago=0), s.cancelled(4, hours_ago=1)]

    for events in (entered, moved, entered[::-1], moved[::-1]):
        relationship = reduce(relationships.evolve, events, Relationship(relationship_id=s.relationship_id))

        assert relationship.next_session_at(NOW) is None


def test_a_cancellation_by_a_clock_that_is_ahead_hides_no_other_appointment() -> None:
    s = RuptureBuilder(NOW)
    events: list[HistoryEvent] = [s.scheduled(0.001), s.cancelled(9, session=1, hours_ago=-0.08)]

    relationship = reduce(relationships.evolve, events, Relationship(relationship_id=s.relationship_id))

    assert relationship.next_session_at(NOW) == s.scheduled(0.001).starts_at


def test_a_relationship_stays_small_however_many_appointments_it_has() -> None:
    s = RuptureBuilder(NOW)

    relationship = reduce(
        relationships.evolve,
        (s.scheduled(day, session=day) for day in range(1, 400)),
        Relationship(relationship_id=s.relationship_id),
    )

    assert len(relationship.appointments) == relationships.MAX_APPOINTMENTS
    assert relationship.next_session_at(NOW) == NOW + timedelta(days=1)


def test_every_channel_has_an_address_under_its_own_name() -> None:
    assert set(ChannelAddresses.model_fields) == set(CHANNEL_NAMES)


def test_a_password_is_never_sent_unencrypted() -> None:
    values = {"kafka_bootstrap_servers": "k:9092", "mongodb_uri": "mongodb://m", "smtp_username": "attune"}

    with pytest.raises(ValidationError, match="unencrypted"):
        Settings.model_validate({**values, "smtp_password": "secret", "smtp_tls": "none"})
    with pytest.raises(ValidationError, match="must both be set"):
        Settings.model_validate(values)
    assert Settings.model_validate({**values, "smtp_password": "secret", "smtp_tls": "tls"}).smtp_port == 25
