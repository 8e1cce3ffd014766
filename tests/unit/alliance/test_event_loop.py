"""Long histories are folded in a thread, or heartbeats and health checks would wait for them."""

import asyncio
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from services.alliance.domain.fold import FoldResult
from services.alliance.domain.policy.policy import Policies, Policy
from services.alliance.domain.retrospect import refold_marked
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.handlers import dispositions as dispositions_module
from services.alliance.handlers import projector as projector_module
from services.alliance.handlers.dispositions import DispositionRecorder
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from services.alliance.store.memory import InMemoryStore
from services.alliance.store.protocol import Store
from shared.events import AlertResolved, Event
from tests.support.builders import FIRST_SESSION_AT, RelationshipBuilder

MAX_WAIT_SECONDS = 5


async def _publish_nothing(_events: Sequence[Event]) -> None:
    """Nothing is consumed."""


def new_projector(store: Store) -> AllianceProjector:
    return AllianceProjector(store, _publish_nothing, Policies(), Metrics(CollectorRegistry()))


def answers(relationships: int, weeks: int) -> list[HistoryEvent]:
    builders = [RelationshipBuilder() for _ in range(relationships)]
    return [builder.feedback(week) for builder in builders for week in range(weeks)]


@pytest.mark.parametrize("late", [answers(1, weeks=120), answers(60, weeks=2)], ids=["one long", "many short"])
async def test_the_event_loop_goes_on_while_histories_are_refolded(
    late: list[HistoryEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    projector, loop_went_on = new_projector(InMemoryStore()), threading.Event()

    def wait_and_refold(*args: Any, **options: Any) -> FoldResult:
        assert loop_went_on.wait(MAX_WAIT_SECONDS)
        return refold_marked(*args, **options)

    await projector.handle_batch(late)
    monkeypatch.setattr(projector_module, "refold_marked", wait_and_refold)
    asyncio.get_running_loop().call_later(0.05, loop_went_on.set)
    await projector.handle_batch(late)


class SignallingStore(InMemoryStore):
    """Sets `all_loaded` soon after the histories of all parts of a batch were loaded."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self._remaining_parts = parts
        self.all_loaded = threading.Event()

    async def history(self, relationships: Collection[UUID]) -> Mapping[UUID, list[HistoryEvent]]:
        self._remaining_parts -= 1
        if self._remaining_parts == 0:
            asyncio.get_running_loop().call_later(0.05, self.all_loaded.set)
        return await super().history(relationships)


async def test_one_thread_at_a_time_refolds(monkeypatch: pytest.MonkeyPatch) -> None:
    """With several, the event loop waits for its turn behind each of them."""
    store, refolding = SignallingStore(parts=3), threading.Lock()
    projector, late = new_projector(store), answers(3, weeks=120)

    def refold_alone(*args: Any, **options: Any) -> FoldResult:
        assert refolding.acquire(blocking=False), "another thread is refolding"
        try:
            assert store.all_loaded.wait(MAX_WAIT_SECONDS)
            return refold_marked(*args, **options)
        finally:
            refolding.release()

    await projector.handle_batch(late)
    monkeypatch.setattr(projector_module, "SAVE_BATCH_SIZE", 1)
    monkeypatch.setattr(projector_module, "refold_marked", refold_alone)
    await projector.handle_batch(late)


async def test_the_event_loop_goes_on_while_the_episode_of_a_resolved_alert_is_searched_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop_went_on = threading.Event()

    def wait_and_find(_history: Sequence[HistoryEvent], _episode: UUID, _policy: Policy) -> None:
        assert loop_went_on.wait(MAX_WAIT_SECONDS)

    recorder = DispositionRecorder(InMemoryStore(), Policies(), Metrics(CollectorRegistry()))
    monkeypatch.setattr(dispositions_module, "find_past_episode", wait_and_find)
    asyncio.get_running_loop().call_later(0.05, loop_went_on.set)
    await recorder.handle_batch(
        [
            AlertResolved(
                id=UUID(int=1),
                occurred_at=FIRST_SESSION_AT,
                relationship_id=UUID(int=2),
                alert_id=UUID(int=3),
                episode_id=UUID(int=4),
                clinician_id=UUID(int=5),
                useful=True,
            )
        ]
    )
