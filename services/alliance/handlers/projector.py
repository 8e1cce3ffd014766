"""Handles a batch of events: three round trips to the database, then the derived events are published."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from uuid import UUID

import structlog

from services.alliance.domain.derived_events import derive_events
from services.alliance.domain.fold import FoldResult, fold_forward
from services.alliance.domain.policy.policy import Policies
from services.alliance.domain.retrospect import refold_marked
from services.alliance.domain.state.history import HistoryEvent, clinic_of
from services.alliance.metrics import Metrics
from services.alliance.store.protocol import Store, VersionedState
from shared.events import Event

log = structlog.get_logger()

Publish = Callable[[Sequence[Event]], Awaitable[None]]

SAVE_BATCH_SIZE = 500
"""Relationships in one transaction; a larger batch is split into parts of this size, which are handled concurrently."""
MAX_REFOLDED_ON_LOOP = 100
"""Events of the late relationships together. They are refolded in 5 ms, or in 45 ms if eight corrections cost a whole
fold each. More are refolded in a thread."""
RECENT_STATES_LIMIT = 20_000
"""States in the cache: enough for the relationships that get more than one event within a busy hour."""


class AllianceProjector:
    """Folds events into the alliances of their relationships and publishes the derived events."""

    def __init__(self, store: Store, publish: Publish, policies: Policies, metrics: Metrics) -> None:
        self._store = store
        self._publish = publish
        self._policies = policies
        self._metrics = metrics
        self._recent_states: dict[UUID, VersionedState] = {}
        """The states saved last, the latest at the end. Another process may have saved them since."""
        self._refold_thread = asyncio.Lock()
        """One at a time: each further one delays the event loop more, and together they are no faster."""

    async def handle_batch(self, events: Sequence[HistoryEvent]) -> None:
        """Fold `events` into the alliances of their relationships and publish the derived events.

        Idempotent and independent of order and batching: the same events give the same alliances. A state that did
        not change is not written, but its derived events are published again, because the attempt before may have
        crashed between writing and publishing. They have the same version and ids; only the ends of episodes of
        earlier versions come under new ids, with the current version (see `derive_events`).
        """
        pending = _group_by_relationship(events)
        parts = [dict(part) for part in _split(list(pending.items()))]
        if len(parts) < 2:
            for part in parts:
                await self._handle_part(part)
        else:  # the database writes one part while the next is read
            outcomes = await asyncio.gather(*map(self._handle_part, parts), return_exceptions=True)
            if errors := [error for error in outcomes if error is not None]:
                raise errors[0]
        self._metrics.count_events(events)

    async def _handle_part(self, pending: Mapping[UUID, Sequence[HistoryEvent]]) -> None:
        known = await self._store.append([event for events in pending.values() for event in events])
        pending = {**dict.fromkeys(known, ()), **pending}
        while pending:
            loaded = await self._load(pending, known)
            updated = await self.fold_batch(loaded, pending, known)
            conflicts = await self._store.save(
                [state for state in updated if state.version != loaded[state.relationship].version]
            )
            self._cache_states(updated, conflicts)
            await self._store.erase(
                {state.relationship: state.alliance.erasure_id for state in updated if state.alliance.erasure_id}
            )
            await self._publish(
                [
                    derived_event
                    for state in updated
                    if state.relationship not in conflicts
                    for derived_event in self._derive_events(state)
                ]
            )
            self._metrics.count_conflicts(len(conflicts))
            _log_signs(loaded, updated)
            pending = {relationship: pending[relationship] for relationship in conflicts}

    async def _load(
        self, pending: Mapping[UUID, Sequence[HistoryEvent]], known: Collection[UUID]
    ) -> Mapping[UUID, VersionedState]:
        """Each state from the cache if it can be folded forward, otherwise from the database.

        Folding forward always changes a state, so it is saved, and the version guard detects a stale cache.
        """
        cached = {
            r: state
            for r, new_events in pending.items()
            if r not in known and (state := self._recent_states.get(r)) and self._can_fold_forward(state, new_events)
        }
        missing = pending.keys() - cached.keys()
        return {**cached, **(await self._store.load(missing) if missing else {})}

    def _cache_states(self, updated: Sequence[VersionedState], conflicts: Collection[UUID]) -> None:
        for state in updated:
            self._recent_states.pop(state.relationship, None)
            if state.relationship not in conflicts:
                self._recent_states[state.relationship] = state
        for oldest in list(islice(self._recent_states, max(0, len(self._recent_states) - RECENT_STATES_LIMIT))):
            del self._recent_states[oldest]

    async def fold_batch(
        self,
        loaded: Mapping[UUID, VersionedState],
        pending: Mapping[UUID, Sequence[HistoryEvent]],
        known: Collection[UUID],
    ) -> list[VersionedState]:
        """Fold each relationship forward if that equals a fold of its whole history; otherwise refold it.

        Those in `known` got events that were stored before, perhaps with other contents.
        """
        late = [
            r for r, new_events in pending.items() if r in known or not self._can_fold_forward(loaded[r], new_events)
        ]
        refolded = await self._refold(await self._store.history(late), loaded, pending) if late else {}
        self._metrics.count_refolds(len(late))
        return [
            loaded[r].advance(refolded[r] if r in refolded else self._fold_forward(loaded[r], new_events))
            for r, new_events in pending.items()
        ]

    def _can_fold_forward(self, state: VersionedState, new_events: Sequence[HistoryEvent]) -> bool:
        """Whether all `new_events` occurred after the state's events, and the state's policy is the one in force.

        The policy in force follows from the clinic, which may be known only now; or an operator changed the file.
        """
        is_same_policy = not self._is_under_other_rules(state, clinic_of(new_events, state.alliance.clinic_id))
        return is_same_policy and all(state.alliance.precedes(event) for event in new_events)

    def _is_under_other_rules(self, state: VersionedState, clinic_id: UUID | None) -> bool:
        return state.version > 0 and state.result.policy_digest != self._policies.policy_for(clinic_id).digest

    def _fold_forward(self, state: VersionedState, new_events: Sequence[HistoryEvent]) -> FoldResult:
        policy = self._policies.policy_for(clinic_of(new_events, state.alliance.clinic_id))
        result = fold_forward(state.alliance, new_events, policy)
        return replace(result, retrospective=sign) if (sign := state.result.retrospective) else result

    async def _refold(
        self,
        histories: Mapping[UUID, Sequence[HistoryEvent]],
        loaded: Mapping[UUID, VersionedState],
        pending: Mapping[UUID, Sequence[HistoryEvent]],
    ) -> Mapping[UUID, FoldResult]:
        if sum(map(len, histories.values())) <= MAX_REFOLDED_ON_LOOP:
            return self._refold_all(histories, loaded, pending)
        # Without the thread, a million events would exceed the poll deadline of this process, and of each one after it.
        async with self._refold_thread:
            return await asyncio.to_thread(self._refold_all, histories, loaded, pending)

    def _refold_all(
        self,
        histories: Mapping[UUID, Sequence[HistoryEvent]],
        loaded: Mapping[UUID, VersionedState],
        pending: Mapping[UUID, Sequence[HistoryEvent]],
    ) -> Mapping[UUID, FoldResult]:
        return {
            r: refold_marked(
                history,
                pending[r],
                self._policies.policy_for(clinic_of(history)),
                loaded[r].result,
                # That the clinic is known only now is a late event, and no change of the rules.
                rules_changed=self._is_under_other_rules(loaded[r], loaded[r].alliance.clinic_id),
            )
            for r, history in histories.items()
        }

    def _derive_events(self, state: VersionedState) -> Sequence[Event]:
        policy = self._policies.policy_for(state.alliance.clinic_id)
        return list(derive_events(state.relationship, state.result, state.version, policy))


def _log_signs(loaded: Mapping[UUID, VersionedState], updated: Sequence[VersionedState]) -> None:
    relationships = [
        state.relationship
        for state in updated
        if state.alliance.open_episode and not loaded[state.relationship].alliance.open_episode
    ]
    if relationships:
        log.info("episodes opened", relationships=[str(relationship) for relationship in relationships])


def _split(
    pending: Sequence[tuple[UUID, Sequence[HistoryEvent]]],
) -> Iterator[Sequence[tuple[UUID, Sequence[HistoryEvent]]]]:
    for start in range(0, len(pending), SAVE_BATCH_SIZE):
        yield pending[start : start + SAVE_BATCH_SIZE]


def _group_by_relationship(events: Sequence[HistoryEvent]) -> dict[UUID, Sequence[HistoryEvent]]:
    grouped: defaultdict[UUID, list[HistoryEvent]] = defaultdict(list)
    for event in events:
        grouped[event.relationship_id].append(event)
    return dict(grouped)
