"""Processes of alliance that handle batches on one database, and what must hold afterwards."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from services.alliance.store.mongo import MongoStore
from shared.events import AllianceUpdated, Event
from shared.events.cloudevents import encode
from shared.mongo.client import Mongo
from tests.support.builders import RelationshipBuilder


class AllianceProcess:
    """The part of a process that handles a batch, with its own database connection."""

    def __init__(self, uri: str, database: str, mongo_type: type[Mongo] = Mongo) -> None:
        self.mongo = mongo_type(uri, database)
        self.store = MongoStore(self.mongo)
        self.registry = CollectorRegistry()
        self.published: list[Event] = []
        self.projector = AllianceProjector(self.store, self._publish, Policies(DEFAULT_POLICY), Metrics(self.registry))

    async def _publish(self, events: Sequence[Event]) -> None:
        self.published += events

    def conflicts(self) -> float:
        return self.registry.get_sample_value("attune_alliance_conflicts_total") or 0.0


def week_events(builder: RelationshipBuilder, number: int) -> list[HistoryEvent]:
    return [builder.completed(number), builder.feedback(number, 9 if number != 4 else 2)]


async def assert_states_are_folds(
    process: AllianceProcess, builders: Sequence[RelationshipBuilder], handled: Sequence[HistoryEvent]
) -> None:
    ids = [relationship.relationship_id for relationship in builders]
    loaded = await process.store.load(ids)
    histories = await process.store.history(ids)
    for relationship in ids:
        events = [event for event in handled if event.relationship_id == relationship]
        assert sorted(event.id for event in histories[relationship]) == sorted(event.id for event in events)
        assert loaded[relationship].alliance == fold(events, DEFAULT_POLICY)


def assert_one_content_per_version(published: Sequence[Event]) -> None:
    states = [event for event in published if isinstance(event, AllianceUpdated)]
    contents = {(state.relationship_id, state.version): encode(state) for state in states}
    assert len(contents) == len({(state.relationship_id, encode(state)) for state in states})
