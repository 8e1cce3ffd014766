"""What `verify` reports: each difference between what is stored and what follows from the events."""

from services.notify.domain.projection import RelationshipProjection, fold_forward
from services.notify.domain.relationship import Relationship
from services.notify.rebuild.comparison import CurrentView, compare
from services.notify.store.stored_names import STORED_NAMES
from shared.events import RelationshipEvent
from shared.mongo.client import Document
from tests.unit.notify.memory_harness import InMemoryNotifyHarness


async def test_a_resolved_alert_is_stored_as_the_topics_say_when_the_alliance_names_its_episode_no_longer() -> None:
    service = InMemoryNotifyHarness()
    s = service.rupture
    events: list[RelationshipEvent] = [s.started(), s.suspected(3), s.updated(3, 0), s.updated(4)]
    await service.projector.handle_batch(events[:-1])
    await service.resolve(s.alert_id(), useful=True)
    await service.projector.handle_batch(events[-1:])

    events += [event for event in service.memory.pending_events if isinstance(event, RelationshipEvent)]
    projection = fold_forward(RelationshipProjection(Relationship(relationship_id=s.relationship_id)), events)

    assert compare(projection, stored(service, {})) == []
    for damage in ({"supported": True}, {"place": 0}):
        assert compare(projection, stored(service, damage)) == [f"alert {s.alert_id()} {name}" for name in damage]


def stored(service: InMemoryNotifyHarness, damage: Document) -> CurrentView:
    """The documents of the one relationship, with these wrong fields in its one alert."""
    (relationship,), (alert,) = service.memory.relationships.values(), service.memory.alerts.values()
    return CurrentView(
        {**STORED_NAMES.to_document(relationship.value), "v": relationship.version},
        {alert.id: {**STORED_NAMES.to_document(alert.value), "v": alert.version, **damage}},
    )
