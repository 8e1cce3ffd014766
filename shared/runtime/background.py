"""Background tasks: retried until they are done, repeated, and ended with the service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Never, TypeVar

import structlog

from shared.errors import Transient, describe
from shared.runtime.backoff import backoff

log = structlog.get_logger()

CANCEL_INTERVAL_SECONDS = 1.0
STOP_TIMEOUT_SECONDS = 3.0
"""How long work that was not cancelled may still take when the service stops."""

Result = TypeVar("Result")


async def retry_until_done(task: str, work: Callable[[], Awaitable[None]]) -> None:
    """Retry `work` until it is done. It must be idempotent."""
    for delay in backoff():
        try:
            return await work()
        except Exception as error:
            log.warning(
                "Task failed, retrying",
                task=task,
                error=describe(error),
                exc_info=not isinstance(error, Transient),  # our own error says enough; a bug needs its traceback
            )
            await asyncio.sleep(delay)
    return None


async def repeat_every(seconds: float, task: str, work: Callable[[], Awaitable[None]]) -> Never:
    """Do `work` now, and again after each pause of `seconds`."""
    while True:
        await retry_until_done(task, work)
        await asyncio.sleep(seconds)


@asynccontextmanager
async def run_in_background(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `coroutines` while the context is open; cancel them when it closes."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        await _cancel_all(tasks)


class ShieldedWork:
    """Work that goes on when its caller is cancelled: cancelled while it connects, it would leave a connection open."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do `work`, and wait for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        try:
            return await asyncio.shield(task)
        finally:
            if task.done():
                self._tasks.discard(task)

    async def stop(self) -> None:
        """Wait a short time for what still runs, then cancel it."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT_SECONDS)
            await _cancel_all(self._tasks)


async def _cancel_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel again until all have ended: `wait_for` of Python 3.11, and a driver, may swallow a cancellation."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCEL_INTERVAL_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
