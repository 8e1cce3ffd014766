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

    def __init__(self, store: Store, publish: Tell, policies: Policies, metrics: Metrics) -> None:
        self._store = store
        self._tell = publish
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
        history_events = cast("Sequence[Fact]", events)  # messages.py hears nothing else
        pending = _by_relationship(history_events)
        parts = [dict(part) for part in _parts(list(pending.items()))]
        if len(parts) < 2:
            for part in parts:
                await self._hear(part)
        else:  # the database writes one part while the next is read
            outcomes = await asyncio.gather(*map(self._hear, parts), return_exceptions=True)
            if errors := [error for error in outcomes if error is not None]:
                raise errors[0]
        self._metrics.folded(history_events)

    async def _hear(self, pending: Mapping[UUID, Sequence[Fact]]) -> None:
        await self._store.remember([event for state in pending.values() for event in state])
        while pending:
            loaded = await self._recall(pending)
            updated = await self._took_in(loaded, pending)
            conflicts = await self._store.keep(
                [state for state in updated if state.version != loaded[state.relationship].version]
            )
            self._keep_latest(updated, conflicts)
            await self._store.forget(
                {state.relationship: state.alliance.erasure for state in updated if state.alliance.erasure}
            )
            await self._tell(
                [
                    derived_event
                    for state in updated
                    if state.relationship not in conflicts
                    for derived_event in self._news(state)
                ]
            )
            self._metrics.conflicts(len(conflicts))
            _log_signs(loaded, updated)
            pending = {relationship: pending[relationship] for relationship in conflicts}

    async def _recall(self, pending: Mapping[UUID, Sequence[Fact]]) -> Mapping[UUID, Kept]:
        """Each state as we wrote it last where we can read on from it, else as the database has it.

        Reading on always changes a state, so it is written, and the guard finds out where ours was not the last.
        """
        cached = {
            r: state
            for r, new_events in pending.items()
            if (state := self._latest.get(r)) and self._can_read_on(state, new_events)
        }
        missing = pending.keys() - cached.keys()
        return {**cached, **(await self._store.recall(missing) if missing else {})}

    def _keep_latest(self, read: Sequence[Kept], conflicts: Collection[UUID]) -> None:
        for state in read:
            self._latest.pop(state.relationship, None)
            if state.relationship not in conflicts:
                self._latest[state.relationship] = state
        for oldest in list(islice(self._latest, max(0, len(self._latest) - LATEST))):
            del self._latest[oldest]

    async def _took_in(self, kept: Mapping[UUID, Kept], pending: Mapping[UUID, Sequence[Fact]]) -> list[Kept]:
        """Evolve where that gives what reading the whole history would; otherwise read it again."""
        late = [r for r, new_events in pending.items() if not self._can_read_on(kept[r], new_events)]
        histories = await self._store.history(late) if late else {}
        refolded = {r: await self._read_again(history) for r, history in histories.items()}
        self._metrics.refolded(len(late))
        return [
            kept[r].followed_by(refolded[r] if r in refolded else self._read_on(kept[r], new_events))
            for r, new_events in pending.items()
        ]

    def _can_read_on(self, kept: Kept, new: Sequence[Fact]) -> bool:
        """Whether all of `new` is newer than what was read so far, and that was read under the policy that counts.

        Which policy counts follows from the clinic, and that may be known only now; or somebody changed the file.
        """
        policy = self._policies.of(clinic_of(new, kept.alliance.clinic_id))
        is_same_policy = kept.version == 0 or kept.read.policy == policy.digest
        return is_same_policy and all(kept.alliance.precedes(event) for event in new)

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
    relationships = [
        state.relationship for state in read if state.alliance.open and not kept[state.relationship].alliance.open
    ]
    if relationships:
        log.info("signs of rupture", relationships=[str(relationship) for relationship in relationships])


def _parts(pending: Sequence[tuple[UUID, Sequence[Fact]]]) -> Iterator[Sequence[tuple[UUID, Sequence[Fact]]]]:
    for start in range(0, len(pending), TOGETHER):
        yield pending[start : start + TOGETHER]


def _by_relationship(facts: Sequence[Fact]) -> dict[UUID, Sequence[Fact]]:
    grouped: defaultdict[UUID, list[Fact]] = defaultdict(list)
    for event in facts:
        grouped[event.relationship_id].append(event)
    return dict(grouped)
