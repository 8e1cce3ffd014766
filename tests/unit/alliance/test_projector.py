"""The promise of `hear`, with consumers that are killed, that overlap, and that hear everything twice.

Every await of a consumer is a step; a scheduler interleaves the consumers at random, kills them anywhere, and lets
others begin the same messages while they still run. When all is quiet, each state is the fold of all facts, it has
been told, and so has every episode that was repaired.
"""

import random
from collections.abc import Collection, Coroutine, Generator, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from services.alliance.domain.derived_events import what_follows
from services.alliance.domain.fold import read_again, read_on
from services.alliance.domain.policy.policy import DEFAULT, Policies
from services.alliance.domain.state.history import Fact
from services.alliance.handlers.projector import Hear
from services.alliance.metrics import Metrics
from services.alliance.store.mongo import Kept
from shared.events import AllianceUpdated, Event, RuptureRepaired
from tests.support.builders import Told
from tests.support.fakes import AllianceStore

RUNS = 150


class Step:
    """Where another consumer may come between, or the process may die."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class SteppedStore(AllianceStore):
    """The store in memory, with a step before and after each call."""

    async def remember(self, facts: Sequence[Fact]) -> None:
        for event in facts:  # unordered inserts: each is atomic on its own
            await Step()
            await super().remember([event])

    async def recall(self, relationships: Collection[UUID]) -> Mapping[UUID, Kept]:
        loaded = await super().recall(relationships)
        await Step()
        return loaded

    async def history(self, relationships: Collection[UUID]) -> Mapping[UUID, list[Fact]]:
        histories = await super().history(relationships)
        await Step()
        return histories

    async def keep(self, changed: Sequence[Kept]) -> set[UUID]:
        conflicts: set[UUID] = set()
        for state in changed:
            conflicts |= await super().keep([state])
            await Step()
        return conflicts


class Unguarded(SteppedStore):
    """Defect: writes over whatever somebody else wrote meanwhile."""

    async def keep(self, changed: Sequence[Kept]) -> set[UUID]:
        for state in changed:
            self.kept[state.relationship] = state
            await Step()
        return set()


class NeverRefolds(Hear):
    """Defect: takes a late fact for the newest."""

    async def _took_in(self, kept: Mapping[UUID, Kept], waiting: Mapping[UUID, Sequence[Fact]]) -> list[Kept]:
        return [
            kept[r].followed_by(read_on(kept[r].alliance, new_events, DEFAULT)) for r, new_events in waiting.items()
        ]


class TellsChangesOnly(Hear):
    """Defect: says nothing of a state that did not change, as if it had surely been told before."""

    async def _took_in(self, kept: Mapping[UUID, Kept], waiting: Mapping[UUID, Sequence[Fact]]) -> list[Kept]:
        states = await super()._took_in(kept, waiting)
        return [state for state in states if state.alliance != kept[state.relationship].alliance]


class World:
    """Two topics of the same relationships, and whoever hears them."""

    def __init__(self, seed: int, store: SteppedStore, hear: type[Hear] = Hear, commit_first: bool = False) -> None:
        self.random = random.Random(seed)
        self.store = store
        self.commit_first = commit_first
        self.told: dict[UUID, AllianceUpdated] = {}
        self.repaired: set[UUID] = set()
        self.committed = [0, 0]
        self.topics: list[list[Fact]] = [[], []]
        self.relationships = [Told(UUID(int=seed * 2 + number + 1)) for number in range(2)]
        self.hear = hear
        self._fill()

    def _fill(self) -> None:
        for builder in self.relationships:
            for week in range(self.random.randint(1, 6)):
                events: list[Fact] = [
                    builder.consent(week - 0.5, given=True),
                    builder.held(week),
                    builder.felt(week, self.random.choice([9, 9, 9, 2])),
                ]
                if self.random.random() < 0.3:
                    events.append(builder.amended(week, 8))
                for event in events:
                    topic = self.random.choice(self.topics)
                    topic.insert(self.random.randint(max(0, len(topic) - 3), len(topic)), event)
                    if self.random.random() < 0.2:
                        topic.append(event)

    async def _tell(self, events: Sequence[Event]) -> None:
        await Step()
        for event in events:
            if isinstance(event, AllianceUpdated):
                previous = self.told.get(event.relationship_id)
                if previous is None or previous.version <= event.version:
                    self.told[event.relationship_id] = event
                await Step()
            if isinstance(event, RuptureRepaired):
                self.repaired.add(event.episode_id)

    async def _consume(self, topic: int, position: int) -> None:
        projector = self.hear(
            self.store, self._tell, Policies(), Metrics(CollectorRegistry())
        )  # each remembers its own
        while batch := self.topics[topic][position : position + self.random.randint(1, 4)]:
            position += len(batch)
            if self.commit_first:
                self._commit(topic, position)
            await projector(batch)
            self._commit(topic, position)
            await Step()

    def _commit(self, topic: int, position: int) -> None:
        self.committed[topic] = max(self.committed[topic], position)

    def run(self) -> None:
        consumers: list[tuple[int, Coroutine[Any, Any, None]]] = []

        def start(topic: int) -> None:
            consumers.append((topic, self._consume(topic, self.committed[topic])))

        for topic in (0, 1):
            start(topic)
        for _ in range(200):
            if not consumers:
                break
            topic, consumer = consumers[index := self.random.randrange(len(consumers))]
            roll = self.random.random()
            if roll < 0.06:  # kill -9; somebody takes over
                consumers.pop(index)[1].close()
                start(topic)
                continue
            if roll < 0.10:  # handed over while the old one still runs
                start(topic)
            if not _step(consumer):
                consumers.pop(index)
        for topic in (0, 1):  # quiet at last: everything is heard to its end
            final_consumer = self._consume(topic, self.committed[topic])
            while _step(final_consumer):
                pass
        while consumers:  # those who slept wake up last
            index = self.random.randrange(len(consumers))
            if not _step(consumers[index][1]):
                consumers.pop(index)

    def wrong(self) -> list[str]:
        """What is not as it must be."""
        violations = []
        for builder in self.relationships:
            events = {
                event.id: event
                for topic in self.topics
                for event in topic
                if event.relationship_id == builder.relationship
            }
            result = read_again(events.values(), DEFAULT)
            expected = result.alliance
            if not {episode.id for episode in result.repaired} <= self.repaired:
                violations.append("repair never told")
            state = self.store.kept.get(builder.relationship, Kept(builder.relationship))
            if state.alliance != expected:
                violations.append("wrong state")
            *_, expected_update = what_follows(builder.relationship, result, max(state.version, 1), DEFAULT)
            last_update = self.told.get(builder.relationship)
            unversioned = {"id", "version"}
            if last_update is None or last_update.model_dump(exclude=unversioned) != expected_update.model_dump(
                exclude=unversioned
            ):
                violations.append("never told")
        return violations


def _step(consumer: Coroutine[Any, Any, None]) -> bool:
    """Let it go on until its next step; whether there is one."""
    try:
        consumer.send(None)
    except StopIteration:
        return False
    return True


def test_whatever_dies_and_overlaps_each_state_is_right_and_told() -> None:
    for seed in range(RUNS):
        simulation = World(seed, SteppedStore())
        simulation.run()
        assert simulation.wrong() == [], f"seed {seed}"


@pytest.mark.parametrize(
    ("defect", "store", "options"),
    [
        ("no version guard", Unguarded, {}),
        ("nothing told where nothing changed", SteppedStore, {"hear": TellsChangesOnly}),
        ("offsets committed first", SteppedStore, {"commit_first": True}),
        ("late facts not folded anew", SteppedStore, {"hear": NeverRefolds}),
    ],
)
def test_each_part_of_the_protocol_is_needed(defect: str, store: type[SteppedStore], options: dict[str, Any]) -> None:
    """Leave one out, and some run goes wrong: so the test above can fail."""

    def goes_wrong(seed: int) -> bool:
        simulation = World(seed, store(), **options)
        simulation.run()
        return bool(simulation.wrong())

    assert any(goes_wrong(seed) for seed in range(RUNS)), defect
