"""Notify's view when all events are folded at once, as a rebuild does."""

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain.alert import Disposition, acknowledge, resolve
from services.notify.domain.projection import RelationshipProjection, fold_forward, with_dispositions_of
from services.notify.domain.relationship import Relationship
from shared.events import AlertAcknowledged, RelationshipEvent
from tests.support.rupture_builder import RuptureBuilder
from tests.unit.notify.histories import NOW, histories


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


def test_dispositions_are_restored_from_their_events() -> None:
    s = RuptureBuilder(NOW)
    alert = project([s.started(), s.suspected(3), s.updated(3, 0)]).alerts[s.alert_id()]
    acknowledged, acknowledged_events = acknowledge(alert, NOW)
    escalated = project([s.started(), s.suspected(3), s.changed(4, "urgent"), s.updated(4, 0)]).alerts[s.alert_id()]
    resolved, resolved_events = resolve(
        escalated.model_copy(update={"acknowledged": acknowledged.acknowledged}), True, NOW
    )

    events = [
        s.started(),
        s.suspected(3),
        s.changed(4, "urgent"),
        s.updated(4, 0),
        *acknowledged_events,
        *resolved_events,
    ]
    rebuilt = project([e for e in events if isinstance(e, RelationshipEvent)]).alerts[s.alert_id()]

    assert rebuilt == resolved
    assert rebuilt.acknowledged == Disposition(at=NOW, severity="concern")
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


def test_a_published_disposition_wins_at_its_severity_and_the_latest_one_otherwise() -> None:
    s = RuptureBuilder(NOW)
    rebuilt = project([s.started(), s.suspected(3), s.updated(3, 0)]).alerts[s.alert_id()]
    published = rebuilt.model_copy(update={"resolved": Disposition(at=NOW, severity="concern", useful=True)})
    altered = rebuilt.model_copy(update={"resolved": Disposition(at=NOW + timedelta(days=1), severity="concern")})
    later = rebuilt.model_copy(update={"resolved": Disposition(at=NOW + timedelta(days=1), severity="urgent")})

    assert with_dispositions_of(published, altered) == published
    assert with_dispositions_of(published, later) == later


def test_of_an_erased_client_only_the_erasure_remains() -> None:
    s = RuptureBuilder(NOW)

    projection = project([s.started(), s.suspected(3)], [s.erased()], [s.changed(4)])

    assert projection == RelationshipProjection(Relationship(relationship_id=s.relationship_id, erased=True))
