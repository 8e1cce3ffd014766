"""Background tasks end with the context that runs them."""

import asyncio

import pytest

from shared.errors import StoreUnavailable
from shared.runtime import background
from shared.runtime.background import ShieldedWork, run_in_background


async def test_a_task_that_swallows_a_cancellation_ends_with_its_context() -> None:
    swallowed = 0

    async def swallow_one_cancellation() -> None:
        nonlocal swallowed
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed += 1
        await asyncio.Event().wait()

    async with asyncio.timeout(10):
        async with run_in_background(swallow_one_cancellation()):
            await asyncio.sleep(0)

    assert swallowed == 1


async def test_a_task_that_failed_does_not_disturb_the_end_of_its_context() -> None:
    async def fail() -> None:
        raise ValueError

    async with run_in_background(fail()):
        await asyncio.sleep(0)


async def test_shielded_work_goes_on_when_its_caller_is_cancelled_and_ends_before_the_stop() -> None:
    started, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        await may_end.wait()
        ended.set()

    shielded = ShieldedWork()
    caller = asyncio.create_task(shielded.run(work()))
    await started.wait()
    caller.cancel()
    await asyncio.wait({caller})
    assert caller.cancelled()
    assert not ended.is_set()

    may_end.set()
    await shielded.stop()

    assert ended.is_set()


async def test_shielded_work_that_does_not_end_is_cancelled_at_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "STOP_TIMEOUT_SECONDS", 0.01)
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    shielded = ShieldedWork()
    caller = asyncio.create_task(shielded.run(work()))
    await started.wait()
    caller.cancel()

    await shielded.stop()

    assert cancelled.is_set()


async def test_shielded_work_returns_its_result_and_raises_its_error() -> None:
    async def succeed() -> int:
        return 7

    async def fail() -> None:
        raise StoreUnavailable("away")

    shielded = ShieldedWork()

    assert await shielded.run(succeed()) == 7
    with pytest.raises(StoreUnavailable):
        await shielded.run(fail())
    await shielded.stop()
