"""Several processes on one database: none of the hot path's optimizations may lose an event or fold one twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast
from uuid import uuid4

import pytest

from services.alliance.domain.state.history import HistoryEvent
from shared.mongo.client import Mongo, MongoSession, Result, WriteConflict
from tests.support.alliance_process import (
    AllianceProcess,
    assert_one_content_per_version,
    assert_states_are_folds,
    week_events,
)
from tests.support.builders import RelationshipBuilder

pytestmark = pytest.mark.integration


@pytest.fixture
async def two_processes(mongodb_uri: str) -> AsyncIterator[tuple[AllianceProcess, AllianceProcess]]:
    """Two processes on one database; each believes that a partition is assigned to it."""
    database = f"test_{uuid4().hex}"
    first, second = (
        AllianceProcess(mongodb_uri, database, SlowMongo),
        AllianceProcess(mongodb_uri, database, RecordingMongo),
    )
    await first.store.create_indexes()
    yield first, second
    await first.mongo.close()
    await second.mongo.close()


class SlowMongo(Mongo):
    """Can pause between the writes and the commit of a transaction."""

    def __init__(self, uri: str, database: str) -> None:
        super().__init__(uri, database)
        self.has_written, self.may_commit = asyncio.Event(), asyncio.Event()
        self.may_commit.set()

    async def try_transaction(self, work: Callable[[MongoSession], Awaitable[Result]]) -> Result:
        async def work_and_wait(session: MongoSession) -> Result:
            result = await work(session)
            self.has_written.set()
            await self.may_commit.wait()
            return result

        return await super().try_transaction(work_and_wait)


class RecordingMongo(Mongo):
    """Records when a transaction fails because another process writes the same documents."""

    def __init__(self, uri: str, database: str) -> None:
        super().__init__(uri, database)
        self.has_conflicted = asyncio.Event()

    async def try_transaction(self, work: Callable[[MongoSession], Awaitable[Result]]) -> Result:
        try:
            return await super().try_transaction(work)
        except WriteConflict:
            self.has_conflicted.set()
            raise


async def test_a_stale_cached_state_is_loaded_again(
    two_processes: tuple[AllianceProcess, AllianceProcess],
) -> None:
    """As after a partition moved to another process and back: the cached state is stale."""
    first, second = two_processes
    builders = [RelationshipBuilder() for _ in range(3)]
    handled: list[HistoryEvent] = []

    async def handle_week(process: AllianceProcess, number: int) -> None:
        events = [event for builder in builders for event in week_events(builder, number)]
        handled.extend(events)
        await process.projector.handle_batch(events)

    await handle_week(first, 0)
    await handle_week(first, 1)
    await handle_week(second, 2)
    assert first.conflicts() == 0
    await handle_week(first, 3)
    assert first.conflicts() == len(builders)  # only the cached states conflicted
    await handle_week(second, 4)

    await assert_states_are_folds(first, builders, handled)
    assert_one_content_per_version([*first.published, *second.published])


async def test_after_a_transaction_conflict_each_state_is_written_separately(
    two_processes: tuple[AllianceProcess, AllianceProcess],
) -> None:
    first, second = two_processes
    builders = [RelationshipBuilder() for _ in range(40)]
    slow, recording = cast("SlowMongo", first.mongo), cast("RecordingMongo", second.mongo)
    contested_builder = builders[7]
    earlier = week_events(contested_builder, 0)
    later = [event for builder in builders for event in week_events(builder, 1)]

    slow.may_commit.clear()
    writing = asyncio.create_task(first.projector.handle_batch(earlier))
    await slow.has_written.wait()
    conflicting = asyncio.create_task(second.projector.handle_batch(later))
    await asyncio.wait_for(recording.has_conflicted.wait(), 30)
    slow.may_commit.set()
    await asyncio.gather(writing, conflicting)

    assert second.conflicts() + first.conflicts() >= 1
    await assert_states_are_folds(first, builders, [*earlier, *later])
    assert_one_content_per_version([*first.published, *second.published])
