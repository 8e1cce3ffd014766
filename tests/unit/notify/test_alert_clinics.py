"""Alerts and messages belong to the clinic of their relationship."""

from datetime import UTC, datetime
from functools import reduce
from uuid import uuid4

from services.notify.domain import relationship as relationships
from services.notify.domain.alert import Alert, apply_relationship, fold_alerts
from services.notify.domain.relationship import HistoryEvent, Relationship
from services.notify.domain.routing import ChannelAddresses, plan_deliveries
from tests.support.rupture_builder import RuptureBuilder

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
EMAIL = ChannelAddresses(email="someone@clinic.example")


def fold(s: RuptureBuilder, *events: HistoryEvent) -> Relationship:
    return reduce(relationships.evolve, events, Relationship(relationship_id=s.relationship_id))


def raise_alert(s: RuptureBuilder, relationship: Relationship) -> Alert:
    (alert,) = fold_alerts({}, [s.suspected(3)], relationship).values()
    return alert


def test_an_alert_and_its_message_belong_to_the_clinic_of_the_relationship() -> None:
    s = RuptureBuilder(NOW, clinic_id=uuid4())

    alert = raise_alert(s, fold(s, s.started()))
    (delivery,) = plan_deliveries(alert, {s.clinician_id: EMAIL})

    assert alert.clinic_id == delivery.clinic_id == s.clinic_id


def test_an_alert_that_is_older_than_its_relationship_gets_the_clinic_later() -> None:
    s = RuptureBuilder(NOW)
    alert = raise_alert(s, fold(s))

    assert alert.clinic_id is None
    assert apply_relationship(alert, fold(s, s.started())).clinic_id == s.clinic_id


def test_the_same_start_fills_in_the_clinic_that_an_older_version_did_not_store() -> None:
    s = RuptureBuilder(NOW)
    relationship = fold(s, s.started(), s.ended())
    without_clinic = relationship.model_copy(update={"clinic_id": None})

    assert relationships.evolve(without_clinic, s.started()) == relationship


def test_of_two_starts_at_the_same_time_the_greater_clinic_counts_in_any_order() -> None:
    s = RuptureBuilder(NOW)
    other = s.started().model_copy(update={"clinic_id": uuid4()})
    greater = max(s.clinic_id, other.clinic_id)

    assert fold(s, s.started(), other).clinic_id == fold(s, other, s.started()).clinic_id == greater


def test_the_clinic_of_an_erased_client_is_not_known() -> None:
    s = RuptureBuilder(NOW)

    assert fold(s, s.started(), s.erased()).clinic_id is None
