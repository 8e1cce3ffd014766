"""Requests for the same inbox that wait at the same time share one reading and rendering."""

import asyncio
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI

from services.notify.http import pages
from services.notify.http.inbox_streams import RenderedInbox
from services.notify.http.shared_reads import SharedReads
from services.notify.store.memory import InMemoryStore
from services.notify.store.protocol import InboxCounts
from shared.access.clinic_id import ClinicId
from shared.errors import StoreUnavailable
from tests.support.rupture_builder import RuptureBuilder
from tests.unit.notify.memory_harness import NOW, InMemoryNotifyHarness


class CountingStore(InMemoryStore):
    """Counts how often an inbox is read."""

    reads = 0

    async def count_inbox_alerts(self, clinic: ClinicId | None, clinician_id: UUID) -> InboxCounts:
        self.reads += 1
        return await super().count_inbox_alerts(clinic, clinician_id)


class Reads:
    """Reads that end when a test lets them."""

    def __init__(self) -> None:
        self.running: list[asyncio.Future[str]] = []
        self.shared = SharedReads(self._read)

    async def _read(self, key: str) -> str:
        self.running.append(asyncio.get_running_loop().create_future())
        return key + await self.running[-1]

    async def ask(self, key: str) -> "asyncio.Task[str]":
        task = asyncio.create_task(self.shared.get(key))
        await settle()
        return task


async def settle() -> None:
    """Let every task run until it waits for something else."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def reads() -> Reads:
    return Reads()


async def test_the_pages_that_load_an_inbox_at_once_share_its_rendering() -> None:
    service = InMemoryNotifyHarness(store=CountingStore())
    s = RuptureBuilder(NOW)
    await service.projector.handle_batch([s.started(), s.suspected(3), s.updated(3, 0)])
    app = FastAPI()
    app.include_router(pages.routes(service.inbox))

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        loading = (client.get(f"/inbox/{s.clinician_id}") for _ in range(50))
        responses = await asyncio.gather(*loading)

    assert {response.status_code for response in responses} == {200}
    assert {response.text for response in responses} == {responses[0].text}
    assert "AB-12" in responses[0].text
    assert isinstance(service.memory, CountingStore)
    assert service.memory.reads <= 2


async def test_whoever_asks_during_a_read_gets_the_next_one(reads: Reads) -> None:
    first = await reads.ask("a")
    second, third = await reads.ask("a"), await reads.ask("a")
    assert len(reads.running) == 1

    reads.running[0].set_result("1")
    await settle()
    fourth = await reads.ask("a")
    reads.running[1].set_result("2")
    await settle()
    reads.running[2].set_result("3")

    assert [await task for task in (first, second, third, fourth)] == ["a1", "a2", "a2", "a3"]


async def test_a_request_that_is_cancelled_leaves_the_read_to_the_others(reads: Reads) -> None:
    first = asyncio.create_task(reads.shared.get("a"))
    second = asyncio.create_task(reads.shared.get("a"))
    await settle()
    first.cancel()
    await settle()
    (running,) = reads.running
    running.set_result("1")

    assert await second == "a1"
    assert first.cancelled()


async def test_an_error_reaches_all_who_wait_and_the_next_read_is_a_new_one(reads: Reads) -> None:
    other, failed = await reads.ask("b"), await reads.ask("a")
    reads.running[1].set_exception(StoreUnavailable("gone"))
    with pytest.raises(StoreUnavailable):
        await failed
    retried = await reads.ask("a")
    reads.running[2].set_result("2")
    reads.running[0].set_result("1")

    assert (await retried, await other) == ("a2", "b1")


async def test_a_clinician_sees_no_difference_between_versions_of_the_same_alert() -> None:
    service, s = InMemoryNotifyHarness(), RuptureBuilder(NOW)
    await service.projector.handle_batch([s.started(), s.scheduled(2), s.suspected(3), s.updated(3, 0)])
    before = RenderedInbox(await service.inbox.get_inbox(None, s.clinician_id))

    await service.projector.handle_batch([s.changed(4, days_ago=1), s.updated(4, 0)])
    same = RenderedInbox(await service.inbox.get_inbox(None, s.clinician_id))
    await service.acknowledge(s.alert_id())
    other = RenderedInbox(await service.inbox.get_inbox(None, s.clinician_id))

    assert same.visible_fields == before.visible_fields
    assert other.visible_fields != before.visible_fields
