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
        for fact in facts:  # unordered inserts: each is atomic on its own
            await Step()
            await super().remember([fact])

    async def recall(self, relationships: Collection[UUID]) -> Mapping[UUID, Kept]:
        kept = await super().recall(relationships)
        await Step()
        return kept

    async def history(self, relationships: Collection[UUID]) -> Mapping[UUID, list[Fact]]:
        histories = await super().history(relationships)
        await Step()
        return histories

    async def keep(self, changed: Sequence[Kept]) -> set[UUID]:
        lost: set[UUID] = set()
        for new in changed:
            lost |= await super().keep([new])
            await Step()
        return lost


class Unguarded(SteppedStore):
    """Defect: writes over whatever somebody else wrote meanwhile."""

    async def keep(self, changed: Sequence[Kept]) -> set[UUID]:
        for new in changed:
            self.kept[new.relationship] = new
            await Step()
        return set()


class NeverRefolds(Hear):
    """Defect: takes a late fact for the newest."""

    async def _took_in(self, kept: Mapping[UUID, Kept], waiting: Mapping[UUID, Sequence[Fact]]) -> list[Kept]:
        return [kept[r].followed_by(read_on(kept[r].alliance, new, DEFAULT)) for r, new in waiting.items()]


class TellsChangesOnly(Hear):
    """Defect: says nothing of a state that did not change, as if it had surely been told before."""

    async def _took_in(self, kept: Mapping[UUID, Kept], waiting: Mapping[UUID, Sequence[Fact]]) -> list[Kept]:
        new = await super()._took_in(kept, waiting)
        return [n for n in new if n.alliance != kept[n.relationship].alliance]


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
        self.relationships = [Told(UUID(int=seed * 2 + n + 1)) for n in range(2)]
        self.hear = hear
        self._fill()

    def _fill(self) -> None:
        for told in self.relationships:
            for week in range(self.random.randint(1, 6)):
                facts: list[Fact] = [
                    told.consent(week - 0.5, given=True),
                    told.held(week),
                    told.felt(week, self.random.choice([9, 9, 9, 2])),
                ]
                if self.random.random() < 0.3:
                    facts.append(told.amended(week, 8))
                for fact in facts:
                    topic = self.random.choice(self.topics)
                    topic.insert(self.random.randint(max(0, len(topic) - 3), len(topic)), fact)
                    if self.random.random() < 0.2:
                        topic.append(fact)

    async def _tell(self, events: Sequence[Event]) -> None:
        await Step()
        for event in events:
            if isinstance(event, AllianceUpdated):
                known = self.told.get(event.relationship_id)
                if known is None or known.version <= event.version:
                    self.told[event.relationship_id] = event
                await Step()
            if isinstance(event, RuptureRepaired):
                self.repaired.add(event.episode_id)

    async def _consume(self, topic: int, position: int) -> None:
        hear = self.hear(self.store, self._tell, Policies(), Metrics(CollectorRegistry()))  # each remembers its own
        while batch := self.topics[topic][position : position + self.random.randint(1, 4)]:
            position += len(batch)
            if self.commit_first:
                self._commit(topic, position)
            await hear(batch)
            self._commit(topic, position)
            await Step()

    def _commit(self, topic: int, position: int) -> None:
        self.committed[topic] = max(self.committed[topic], position)

    def run(self) -> None:
        alive: list[tuple[int, Coroutine[Any, Any, None]]] = []

        def start(topic: int) -> None:
            alive.append((topic, self._consume(topic, self.committed[topic])))

        for topic in (0, 1):
            start(topic)
        for _ in range(200):
            if not alive:
                break
            topic, consumer = alive[place := self.random.randrange(len(alive))]
            luck = self.random.random()
            if luck < 0.06:  # kill -9; somebody takes over
                alive.pop(place)[1].close()
                start(topic)
                continue
            if luck < 0.10:  # handed over while the old one still runs
                start(topic)
            if not _step(consumer):
                alive.pop(place)
        for topic in (0, 1):  # quiet at last: everything is heard to its end
            last = self._consume(topic, self.committed[topic])
            while _step(last):
                pass
        while alive:  # those who slept wake up last
            place = self.random.randrange(len(alive))
            if not _step(alive[place][1]):
                alive.pop(place)

    def wrong(self) -> list[str]:
        """What is not as it must be."""
        found = []
        for told in self.relationships:
            facts = {f.id: f for topic in self.topics for f in topic if f.relationship_id == told.relationship}
            read = read_again(facts.values(), DEFAULT)
            truth = read.alliance
            if not {episode.id for episode in read.repaired} <= self.repaired:
                found.append("repair never told")
            kept = self.store.kept.get(told.relationship, Kept(told.relationship))
            if kept.alliance != truth:
                found.append("wrong state")
            *_, due = what_follows(told.relationship, read, max(kept.version, 1), DEFAULT)
            last = self.told.get(told.relationship)
            unversioned = {"id", "version"}
            if last is None or last.model_dump(exclude=unversioned) != due.model_dump(exclude=unversioned):
                found.append("never told")
        return found


def _step(consumer: Coroutine[Any, Any, None]) -> bool:
    """Let it go on until its next step; whether there is one."""
    try:
        consumer.send(None)
    except StopIteration:
        return False
    return True


def test_whatever_dies_and_overlaps_each_state_is_right_and_told() -> None:
    for seed in range(RUNS):
        world = World(seed, SteppedStore())
        world.run()
        assert world.wrong() == [], f"seed {seed}"


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
        world = World(seed, store(), **options)
        world.run()
        return bool(world.wrong())

    assert any(goes_wrong(seed) for seed in range(RUNS)), defect
