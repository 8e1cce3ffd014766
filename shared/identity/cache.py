"""What this process has read of login sessions and machines, so that not every request reads it again.

An entry is used for FRESH_FOR without asking the store, so that what was withdrawn elsewhere ends within that time. If
the store is unavailable, it is used for USABLE_FOR: those who are signed in go on for so long, and a withdrawal that
the store cannot report is not delayed any longer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import structlog

from shared.errors import StoreUnavailable

log = structlog.get_logger()

FRESH_FOR = timedelta(seconds=5)
USABLE_FOR = timedelta(seconds=60)
ANSWER_TIMEOUT_SECONDS = 1.0
"""The store counts as unavailable after this long: a request that can be answered from the cache should not wait."""
RETRY_AFTER = timedelta(seconds=2)
"""Only one request in this time waits for a store that was unavailable just now."""
MAX_ENTRIES = 20_000
"""More people than work at the same time in all clinics of a deployment; about 20 MB."""

KeyT = TypeVar("KeyT", bound=Hashable)
T = TypeVar("T")


async def answer_in_time(answer: Awaitable[T]) -> T:
    """The answer of the store. Raises StoreUnavailable if it takes too long.

    The question is not cancelled then: a driver that is cancelled while it connects leaves the connection open.
    """
    asked = asyncio.ensure_future(answer)
    done, _ = await asyncio.wait({asked}, timeout=ANSWER_TIMEOUT_SECONDS)
    if done:
        return asked.result()
    asked.add_done_callback(_ignore_answer)
    raise StoreUnavailable("the identity database does not answer in time")


def _ignore_answer(asked: asyncio.Future[T]) -> None:
    if not asked.cancelled():
        asked.exception()  # else it would be reported as one that nothing handled


@dataclass(frozen=True)
class _Entry(Generic[T]):
    value: T
    read_at: datetime


class ReadCache(Generic[KeyT, T]):
    """Values by key, as the store had them a moment ago. It holds only values that are valid."""

    def __init__(
        self, read: Callable[[KeyT], Awaitable[T | None]], is_valid: Callable[[T], bool], clock: Callable[[], datetime]
    ) -> None:
        self._read = read
        self._is_valid = is_valid
        self._clock = clock
        self._entries: dict[KeyT, _Entry[T]] = {}
        self._unavailable_until: datetime | None = None
        self._removal_count = 0

    async def get(self, key: KeyT) -> T | None:
        """The value if there is a valid one. Raises StoreUnavailable."""
        entry = self._find_entry(key)
        now = self._clock()
        if entry is not None and (now < entry.read_at + FRESH_FOR or self._is_unavailable(now)):
            return entry.value
        removal_count = self._removal_count
        try:
            value = await answer_in_time(self._read(key))
        except StoreUnavailable:
            self._unavailable_until = self._clock() + RETRY_AFTER
            if entry is None:
                raise
            log.warning("Identity database unavailable: a signed-in caller is let in for up to a minute")
            return entry.value
        self._unavailable_until = None
        if value is None or not self._is_valid(value):
            self._entries.pop(key, None)
            return None
        if removal_count == self._removal_count:  # else it may have been read just before it was withdrawn
            self._keep(key, value, now)
        return value

    def put(self, key: KeyT, value: T) -> None:
        """Replace a value that this process has written, without making it look newly read."""
        if key in self._entries:
            self._entries[key] = _Entry(value, self._entries[key].read_at)

    def remove(self, key: KeyT) -> None:
        """Forget a value that is no longer valid."""
        self._entries.pop(key, None)
        self._removal_count += 1

    def _find_entry(self, key: KeyT) -> _Entry[T] | None:
        entry = self._entries.get(key)
        if entry is None or self._clock() >= entry.read_at + USABLE_FOR or not self._is_valid(entry.value):
            return None
        return entry

    def _is_unavailable(self, now: datetime) -> bool:
        return self._unavailable_until is not None and now < self._unavailable_until

    def _keep(self, key: KeyT, value: T, read_at: datetime) -> None:
        self._entries.pop(key, None)
        if len(self._entries) >= MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]  # the one that was read longest ago
        self._entries[key] = _Entry(value, read_at)
