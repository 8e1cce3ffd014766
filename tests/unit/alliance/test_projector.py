"""The guarantees of AllianceProjector, with consumers that crash, that overlap, and that handle events twice.

Every await of a consumer is a step. A scheduler interleaves the consumers at random, kills them anywhere, and starts
others on the same messages while they still run. In the end each state is the fold of all events and has been
published, and so has every repaired episode.
"""

import random
from collections.abc import Collection, Coroutine, Generator, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from services.alliance.domain.derived_events import derive_events
from services.alliance.domain.fold import fold_forward, refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from services.alliance.store.memory import InMemoryStore
from services.alliance.store.protocol import VersionedState
from shared.events import AllianceUpdated, Event, RuptureRepaired
from tests.support.builders import RelationshipBuilder

RUNS = 150
DEFECTIVE_RUNS = 1_000
"""At most: a redelivered event is folded from the history, which hides most of what a missing guard loses."""


class SchedulingPoint:
    """A point at which another consumer may run, or the process may crash."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class SteppedStore(InMemoryStore):
    """The store in memory, with a scheduling point in each call."""

    async def append(self, events: Sequence[HistoryEvent]) -> set[UUID]:
        known = set[UUID]()
        for event in events:  # unordered inserts: each is atomic on its own
            await SchedulingPoint()
            known |= await super().append([event])
        return known

    async def load(self, relationships: Collection[UUID]) -> Mapping[UUID, VersionedState]:
        loaded = await super().load(relationships)
        await SchedulingPoint()
        return loaded

    async def history(self, relationships: Collection[UUID]) -> Mapping[UUID, list[HistoryEvent]]:
        histories = await super().history(relationships)
        await SchedulingPoint()
        return histories

    async def save(self, states: Sequence[VersionedState]) -> set[UUID]:
        conflicts: set[UUID] = set()
        for state in states:
            conflicts |= await super().save([state])
            await SchedulingPoint()
        return conflicts


class UnguardedStore(SteppedStore):
    """Defect: overwrites concurrent changes."""

    async def save(self, states: Sequence[VersionedState]) -> set[UUID]:
        for state in states:
            self.states[state.relationship] = state
            await SchedulingPoint()
        return set()


class NeverRefoldingProjector(AllianceProjector):
    """Defect: folds a late event as if it were the newest."""

    async def fold_batch(
        self,
        loaded: Mapping[UUID, VersionedState],
        pending: Mapping[UUID, Sequence[HistoryEvent]],
        known: Collection[UUID],
    ) -> list[VersionedState]:
        return [
            loaded[r].advance(fold_forward(loaded[r].alliance, new_events, DEFAULT_POLICY))
            for r, new_events in pending.items()
        ]


class ChangesOnlyProjector(AllianceProjector):
    """Defect: publishes nothing for an unchanged state, as if it had certainly been published before."""

    async def fold_batch(
        self,
        loaded: Mapping[UUID, VersionedState],
        pending: Mapping[UUID, Sequence[HistoryEvent]],
        known: Collection[UUID],
    ) -> list[VersionedState]:
        states = await super().fold_batch(loaded, pending, known)
        return [state for state in states if state.alliance != loaded[state.relationship].alliance]


Consumer = tuple[int, Coroutine[Any, Any, None]]
"""The topic of a consumer, and the consumer."""


class Simulation:
    """Two topics with events of the same relationships, and their consumers."""

    def __init__(
        self,
        seed: int,
        store: SteppedStore,
        projector_type: type[AllianceProjector] = AllianceProjector,
        commit_first: bool = False,
    ) -> None:
        self.random = random.Random(seed)
        self.store = store
        self.commit_first = commit_first
        self.published: dict[UUID, AllianceUpdated] = {}
        self.repaired_episode_ids: set[UUID] = set()
        self.committed_offsets = [0, 0]
        self.topics: list[list[HistoryEvent]] = [[], []]
        self.builders = [RelationshipBuilder(UUID(int=seed * 2 + number + 1)) for number in range(2)]
        self.projector_type = projector_type
        self._fill_topics()

    def _fill_topics(self) -> None:
        for builder in self.builders:
            for week in range(self.random.randint(1, 6)):
                events: list[HistoryEvent] = [
                    builder.consent_changed(week - 0.5, given=True),
                    builder.completed(week),
                    builder.feedback(week, self.random.choice([9, 9, 9, 2])),
                ]
                if self.random.random() < 0.3:
                    events.append(builder.amended(week, 8))
                for event in events:
                    topic = self.random.choice(self.topics)
                    topic.insert(self.random.randint(max(0, len(topic) - 3), len(topic)), event)
                    if self.random.random() < 0.2:
                        topic.append(event)

    async def _publish(self, events: Sequence[Event]) -> None:
        await SchedulingPoint()
        for event in events:
            if isinstance(event, AllianceUpdated):
                previous = self.published.get(event.relationship_id)
                if previous is None or previous.version <= event.version:
                    self.published[event.relationship_id] = event
                await SchedulingPoint()
            if isinstance(event, RuptureRepaired):
                self.repaired_episode_ids.add(event.episode_id)

    async def _consume(self, topic: int, offset: int) -> None:
        # Each process has a cache of its own.
        projector = self.projector_type(self.store, self._publish, Policies(), Metrics(CollectorRegistry()))
        while batch := self.topics[topic][offset : offset + self.random.randint(1, 4)]:
            offset += len(batch)
            if self.commit_first:
                self._commit(topic, offset)
            await projector.handle_batch(batch)
            self._commit(topic, offset)
            await SchedulingPoint()

    def _commit(self, topic: int, offset: int) -> None:
        self.committed_offsets[topic] = max(self.committed_offsets[topic], offset)

    def run(self) -> None:
        """Consume both topics with crashes and rebalances; finally, everything is consumed to the end."""
        consumers = [self._start_consumer(topic) for topic in (0, 1)]
        for _ in range(200):
            if not consumers:
                break
            self._step(consumers)
        for topic in (0, 1):
            _, final_consumer = self._start_consumer(topic)
            while _advance(final_consumer):
                pass
        while consumers:  # paused consumers resume last
            index = self.random.randrange(len(consumers))
            if not _advance(consumers[index][1]):
                consumers.pop(index)

    def _start_consumer(self, topic: int) -> Consumer:
        return topic, self._consume(topic, self.committed_offsets[topic])

    def _step(self, consumers: list[Consumer]) -> None:
        """One consumer takes a step, is killed, or loses its topic to another one."""
        topic, consumer = consumers[index := self.random.randrange(len(consumers))]
        roll = self.random.random()
        if roll < 0.06:  # kill -9; another consumer takes over
            consumers.pop(index)[1].close()
            consumers.append(self._start_consumer(topic))
            return
        if roll < 0.10:  # a rebalance while the old consumer still runs
            consumers.append(self._start_consumer(topic))
        if not _advance(consumer):
            consumers.pop(index)

    def find_violations(self) -> list[str]:
        violations = []
        for builder in self.builders:
            events = {
                event.id: event
                for topic in self.topics
                for event in topic
                if event.relationship_id == builder.relationship_id
            }
            result = refold(events.values(), DEFAULT_POLICY)
            expected = result.alliance
            if not {episode.id for episode in result.repaired_episodes} <= self.repaired_episode_ids:
                violations.append("repair never published")
            state = self.store.states.get(builder.relationship_id, VersionedState(builder.relationship_id))
            if state.alliance != expected:
                violations.append("wrong state")
            *_, expected_update = derive_events(builder.relationship_id, result, max(state.version, 1), DEFAULT_POLICY)
            last_update = self.published.get(builder.relationship_id)
            unversioned = {"id", "version"}
            if last_update is None or last_update.model_dump(exclude=unversioned) != expected_update.model_dump(
                exclude=unversioned
            ):
                violations.append("alliance never published")
        return violations


def _advance(consumer: Coroutine[Any, Any, None]) -> bool:
    """Run the consumer to its next step; return whether there is one."""
    try:
        consumer.send(None)
    except StopIteration:
        return False
    return True


def test_crashing_and_overlapping_consumers_publish_each_correct_state() -> None:
    for seed in range(RUNS):
        simulation = Simulation(seed, SteppedStore())
        simulation.run()
        assert simulation.find_violations() == [], f"seed {seed}"


@pytest.mark.parametrize(
    ("defect", "store", "options", "likely_seed"),
    [
        ("no version guard", UnguardedStore, {}, 205),
        ("unchanged states not published", SteppedStore, {"projector_type": ChangesOnlyProjector}, 2),
        ("offsets committed first", SteppedStore, {"commit_first": True}, 0),
        ("late events not refolded", SteppedStore, {"projector_type": NeverRefoldingProjector}, 0),
    ],
)
def test_each_part_of_the_protocol_is_needed(
    defect: str, store: type[SteppedStore], options: dict[str, Any], likely_seed: int
) -> None:
    """Without any one of them some run fails, which proves that the test above can fail.

    The run that failed first when this was written is tried first: a search takes ten seconds.
    """

    def violates(seed: int) -> bool:
        simulation = Simulation(seed, store(), **options)
        simulation.run()
        return bool(simulation.find_violations())

    assert any(violates(seed) for seed in (likely_seed, *range(DEFECTIVE_RUNS))), defect
