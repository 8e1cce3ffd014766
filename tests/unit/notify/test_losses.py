"""What a rebuild would take from a clinician: an alert that waits, unless the client may demand that nobody sees it."""

import pytest

from services.notify.domain.projection import RelationshipProjection, fold_forward
from services.notify.domain.relationship import Relationship
from services.notify.rebuild.comparison import CurrentView, list_losses
from services.notify.store.stored_names import STORED_NAMES
from shared.events import RelationshipEvent
from tests.support.dispositions import acknowledge, resolve
from tests.support.rupture_builder import RuptureBuilder
from tests.unit.notify.histories import NOW

S = RuptureBuilder(NOW)
OPEN: list[RelationshipEvent] = [S.started(), S.suspected(3), S.updated(3, 0)]
LOST = [f"open alert {S.alert_id()} would be taken from its clinician"]


def project(events: list[RelationshipEvent]) -> RelationshipProjection:
    return fold_forward(RelationshipProjection(Relationship(relationship_id=S.relationship_id)), events)


def stored(projection: RelationshipProjection) -> CurrentView:
    alerts = {id: {"_id": id, **STORED_NAMES.to_document(alert)} for id, alert in projection.alerts.items()}
    return CurrentView(None, alerts)


@pytest.mark.parametrize(
    "events",
    [
        [S.started()],
        OPEN[1:],
        [RuptureBuilder(NOW, relationship_id=S.relationship_id).started(), *OPEN[1:]],
        [*OPEN, S.repaired(4), S.updated(4)],
        [*OPEN, S.retracted(4), S.updated(4)],
        [*OPEN, S.updated(4)],
        [*OPEN, *resolve(project(OPEN).alerts[S.alert_id()], True, NOW)[1]],
    ],
    ids=["missing", "no clinician", "another clinician", "repaired", "retracted", "unsupported", "resolved"],
)
def test_an_open_alert_that_its_clinician_would_not_see_is_a_loss(events: list[RelationshipEvent]) -> None:
    assert list_losses(project(events), stored(project(OPEN))) == LOST


@pytest.mark.parametrize(
    "events",
    [
        OPEN,
        [*OPEN, S.changed(4, "urgent"), S.updated(4, 0)],
        [*OPEN, S.erased()],
        [*OPEN, S.retracted(4, reason="consent_withdrawn"), S.updated(4)],
    ],
    ids=["unchanged", "escalated", "erased", "consent withdrawn"],
)
def test_an_alert_that_stays_open_or_that_nobody_may_see_is_no_loss(events: list[RelationshipEvent]) -> None:
    assert list_losses(project(events), stored(project(OPEN))) == []


def test_an_acknowledged_alert_still_waits_and_a_resolved_one_does_not() -> None:
    projection = project(OPEN)
    alert = projection.alerts[S.alert_id()]
    taken_on = RelationshipProjection(projection.relationship, {alert.id: acknowledge(alert, NOW)[0]})
    resolved = RelationshipProjection(projection.relationship, {alert.id: resolve(alert, None, NOW)[0]})

    assert list_losses(project([S.started()]), stored(taken_on)) == LOST
    assert list_losses(project([S.started()]), stored(resolved)) == []
