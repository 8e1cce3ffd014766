"""What we do with a batch of facts: three round trips to the database, then what follows is told."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import cast
from uuid import UUID

import structlog

from services.alliance.domain.derived_events import what_follows
from services.alliance.domain.fold import Read, read_again, read_on
from services.alliance.domain.policy.policy import Policies
from services.alliance.domain.state.history import Fact, clinic_of
from services.alliance.metrics import Metrics
from services.alliance.store.mongo import Kept, Store
from shared.events import Event

log = structlog.get_logger()

Tell = Callable[[Sequence[Event]], Awaitable[None]]

TOGETHER = 500
"""Relationships that are written in one transaction; a larger batch is taken in parts of so many, side by side."""
LONG = 10_000
"""Facts of one relationship; more are read again beside everything else, which they would hold up for half a second."""
LATEST = 20_000
"""States that are remembered: what of a busy hour's relationships is heard of again within it."""


class Hear:
    """Takes facts into what is known of their relationships."""

    def __init__(self, store: Store, tell: Tell, policies: Policies, metrics: Metrics) -> None:
        self._store = store
        self._tell = tell
        self._policies = policies
        self._metrics = metrics
        self._latest: dict[UUID, Kept] = {}
        """The states written last, the latest at the end. Somebody else may have written them since."""

    async def __call__(self, events: Sequence[Event]) -> None:
        """Take `events` in and tell what follows.

        Safe to repeat, in any order and any grouping: the same facts give the same alliances. Where nothing changed
        nothing is written, but what follows is told again, under the same ids: the try before may have died between
        writing and telling.
        """
        facts = cast("Sequence[Fact]", events)  # messages.py hears nothing else
        waiting = _by_relationship(facts)
        parts = [dict(part) for part in _parts(list(waiting.items()))]
        if len(parts) < 2:
            for part in parts:
                await self._hear(part)
        else:  # the database writes one part while the next is read
            ended = await asyncio.gather(*map(self._hear, parts), return_exceptions=True)
            if failed := [error for error in ended if error is not None]:
                raise failed[0]
        self._metrics.folded(facts)

    async def _hear(self, waiting: Mapping[UUID, Sequence[Fact]]) -> None:
        await self._store.remember([fact for new in waiting.values() for fact in new])
        while waiting:
            kept = await self._recall(waiting)
            read = await self._took_in(kept, waiting)
            lost = await self._store.keep([new for new in read if new.version != kept[new.relationship].version])
            self._keep_latest(read, lost)
            await self._store.forget({new.relationship: new.alliance.erasure for new in read if new.alliance.erasure})
            await self._tell([news for new in read if new.relationship not in lost for news in self._news(new)])
            self._metrics.conflicts(len(lost))
            _log_signs(kept, read)
            waiting = {relationship: waiting[relationship] for relationship in lost}

    async def _recall(self, waiting: Mapping[UUID, Sequence[Fact]]) -> Mapping[UUID, Kept]:
        """Each state as we wrote it last where we can read on from it, else as the database has it.

        Reading on always changes a state, so it is written, and the guard finds out where ours was not the last.
        """
        ours = {r: k for r, new in waiting.items() if (k := self._latest.get(r)) and self._can_read_on(k, new)}
        others = waiting.keys() - ours.keys()
        return {**ours, **(await self._store.recall(others) if others else {})}

    def _keep_latest(self, read: Sequence[Kept], lost: Collection[UUID]) -> None:
        for new in read:
            self._latest.pop(new.relationship, None)
            if new.relationship not in lost:
                self._latest[new.relationship] = new
        for oldest in list(islice(self._latest, max(0, len(self._latest) - LATEST))):
            del self._latest[oldest]

    async def _took_in(self, kept: Mapping[UUID, Kept], waiting: Mapping[UUID, Sequence[Fact]]) -> list[Kept]:
        """Evolve where that gives what reading the whole history would; otherwise read it again."""
        late = [r for r, new in waiting.items() if not self._can_read_on(kept[r], new)]
        histories = await self._store.history(late) if late else {}
        again = {r: await self._read_again(history) for r, history in histories.items()}
        self._metrics.refolded(len(late))
        return [
            kept[r].followed_by(again[r] if r in again else self._read_on(kept[r], new)) for r, new in waiting.items()
        ]

    def _can_read_on(self, kept: Kept, new: Sequence[Fact]) -> bool:
        """Whether all of `new` is newer than what was read so far, and that was read under the policy that counts.

        Which policy counts follows from the clinic, and that may be known only now; or somebody changed the file.
        """
        policy = self._policies.of(clinic_of(new, kept.alliance.clinic_id))
        same = kept.version == 0 or kept.read.policy == policy.digest
        return same and all(kept.alliance.precedes(fact) for fact in new)

    def _read_on(self, kept: Kept, new: Sequence[Fact]) -> Read:
        return read_on(kept.alliance, new, self._policies.of(clinic_of(new, kept.alliance.clinic_id)))

    async def _read_again(self, history: Sequence[Fact]) -> Read:
        policy = self._policies.of(clinic_of(history))
        if len(history) > LONG:  # a million would have the group take us for dead, and whoever is next after us
            return await asyncio.to_thread(read_again, history, policy)
        return read_again(history, policy)

    def _news(self, kept: Kept) -> Sequence[Event]:
        policy = self._policies.of(kept.alliance.clinic_id)
        return list(what_follows(kept.relationship, kept.read, kept.version, policy))


def _log_signs(kept: Mapping[UUID, Kept], read: Sequence[Kept]) -> None:
    opened = [n.relationship for n in read if n.alliance.open and not kept[n.relationship].alliance.open]
    if opened:
        log.info("signs of rupture", relationships=[str(relationship) for relationship in opened])


def _parts(waiting: Sequence[tuple[UUID, Sequence[Fact]]]) -> Iterator[Sequence[tuple[UUID, Sequence[Fact]]]]:
    for start in range(0, len(waiting), TOGETHER):
        yield waiting[start : start + TOGETHER]


def _by_relationship(facts: Sequence[Fact]) -> dict[UUID, Sequence[Fact]]:
    found: defaultdict[UUID, list[Fact]] = defaultdict(list)
    for fact in facts:
        found[fact.relationship_id].append(fact)
    return dict(found)
