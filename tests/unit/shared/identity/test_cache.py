"""What a process remembers of who may ask, while the database answers and while it does not."""

import asyncio

import pytest

from shared.errors import StoreUnavailable
from shared.identity.cache import MAX_ENTRIES, ReadCache
from tests.support.identity_builders import Clock


class Source:
    """A store of texts that a test changes and makes unavailable."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {"anna": "active"}
        self.is_available = True
        self.is_silent = False
        self.read_count = 0
        self.reading, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()

    async def read(self, key: str) -> str | None:
        self.read_count += 1
        if self.is_silent:
            await asyncio.Event().wait()
        if not self.is_available:
            raise StoreUnavailable("no primary")
        value = self.values.get(key)
        self.reading.set()
        await self.may_answer.wait()
        return value


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(source: Source, clock: Clock) -> ReadCache[str, str]:
    return ReadCache(source.read, lambda value: value != "ended", clock)


async def test_a_value_is_read_again_after_five_seconds(
    cache: ReadCache[str, str], source: Source, clock: Clock
) -> None:
    await cache.get("anna")
    source.values["anna"] = "changed"

    clock.advance(seconds=4.9)
    assert await cache.get("anna") == "active"
    clock.advance(seconds=0.1)
    assert await cache.get("anna") == "changed"
    assert source.read_count == 2


async def test_what_is_not_valid_is_not_returned_and_always_read_again(
    cache: ReadCache[str, str], source: Source
) -> None:
    source.values["anna"] = "ended"

    assert await cache.get("anna") is None
    assert await cache.get("anna") is None
    assert await cache.get("unknown") is None
    assert source.read_count == 3


async def test_a_value_that_became_invalid_by_itself_is_read_again_at_once(source: Source, clock: Clock) -> None:
    valid = {"active", "renewed"}
    cache = ReadCache(source.read, valid.__contains__, clock)
    await cache.get("anna")

    valid.discard("active")
    source.values["anna"] = "renewed"

    assert await cache.get("anna") == "renewed"


async def test_for_a_minute_known_values_outlast_a_store_that_is_away(
    cache: ReadCache[str, str], source: Source, clock: Clock
) -> None:
    await cache.get("anna")
    source.is_available = False

    clock.advance(seconds=59.9)
    assert await cache.get("anna") == "active"
    clock.advance(seconds=0.1)
    with pytest.raises(StoreUnavailable):
        await cache.get("anna")


async def test_an_unknown_value_needs_the_store(cache: ReadCache[str, str], source: Source) -> None:
    source.is_available = False

    with pytest.raises(StoreUnavailable):
        await cache.get("anna")


async def test_a_store_that_is_away_is_asked_every_two_seconds(
    cache: ReadCache[str, str], source: Source, clock: Clock
) -> None:
    await cache.get("anna")
    source.is_available = False
    clock.advance(seconds=10)

    for _ in range(100):
        await cache.get("anna")
    assert source.read_count == 2

    source.is_available, source.values["anna"] = True, "changed"
    clock.advance(seconds=2)
    assert await cache.get("anna") == "changed"


async def test_a_store_that_does_not_answer_counts_as_away(
    cache: ReadCache[str, str], source: Source, clock: Clock
) -> None:
    await cache.get("anna")
    source.is_silent = True
    clock.advance(seconds=10)

    assert await cache.get("anna") == "active"


async def test_what_is_removed_is_read_again_at_once(cache: ReadCache[str, str], source: Source) -> None:
    await cache.get("anna")
    source.values["anna"] = "ended"

    cache.remove("anna")

    assert await cache.get("anna") is None


async def test_what_was_read_before_its_removal_does_not_come_back(cache: ReadCache[str, str], source: Source) -> None:
    source.may_answer.clear()
    request = asyncio.create_task(cache.get("anna"))
    await source.reading.wait()

    source.values["anna"] = "ended"
    cache.remove("anna")
    source.may_answer.set()
    await request

    assert await cache.get("anna") is None


async def test_a_replaced_value_is_read_as_soon_as_the_one_before(
    cache: ReadCache[str, str], source: Source, clock: Clock
) -> None:
    cache.put("anna", "not read yet")
    await cache.get("anna")

    clock.advance(seconds=4)
    cache.put("anna", "written here")
    assert await cache.get("anna") == "written here"
    clock.advance(seconds=1)
    assert await cache.get("anna") == "active"


async def test_of_too_many_values_the_oldest_is_forgotten(cache: ReadCache[str, str], source: Source) -> None:
    source.values = {str(n): "active" for n in range(MAX_ENTRIES + 1)}
    for key in source.values:
        await cache.get(key)
    reads = source.read_count

    await cache.get("1")
    assert source.read_count == reads
    await cache.get("0")
    assert source.read_count == reads + 1
