"""Background tasks end with the context that runs them."""

import asyncio

from shared.runtime.background import run_in_background


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
