"""What many requests wait for at once is read and rendered once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class SharedReads(Generic[Key, Result]):
    """Shares each read among all who ask for the same key before it begins.

    Whoever asks while a read runs gets the result of the next one, because this one may have missed what the request
    is about. So of each key one read runs and one waits, whatever the number of requests, and no result is stored.
    """

    def __init__(self, read: Callable[[Key], Awaitable[Result]]) -> None:
        self._read = read
        self._waiting: dict[Key, asyncio.Task[Result]] = {}
        self._running: dict[Key, asyncio.Task[Result]] = {}

    async def get(self, key: Key) -> Result:
        """The result of a read that begins after this call. Raises what the read raises."""
        task = self._waiting.get(key)
        if task is None:
            task = self._waiting[key] = asyncio.create_task(self._read_next(key))
            task.add_done_callback(_ignore_unseen_error)
        return await asyncio.shield(task)  # a request that is cancelled does not take the result away from the others

    async def _read_next(self, key: Key) -> Result:
        if (running := self._running.get(key)) is not None:
            await asyncio.wait({running})
        self._running[key] = self._waiting.pop(key)
        try:
            return await self._read(key)
        finally:
            del self._running[key]  # still this one: the next read waits for its end


def _ignore_unseen_error(task: asyncio.Task[Result]) -> None:
    """Every request that waited for it may have been cancelled; then nobody else retrieves the error."""
    if not task.cancelled():
        task.exception()
