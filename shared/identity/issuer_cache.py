"""What the issuer publishes, fetched when it is needed and used on when the issuer is away (stale-if-error)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import inf
from typing import Generic, TypeVar

import structlog

from shared.identity.errors import IssuerUnavailable

REFRESH_SECONDS = 3_600
"""A key that the issuer withdraws is not trusted for longer than this, while the issuer answers."""
MIN_REFETCH_SECONDS = 30
"""Tokens with invented key ids must not make Attune ask the issuer more often than this."""
MIN_RETRY_SECONDS = 5
"""The interval between two attempts as long as nothing could be fetched: nobody can sign in until one succeeds."""
log = structlog.get_logger()
T = TypeVar("T")


class IssuerCache(Generic[T]):
    """The latest value that could be fetched. `fetch` raises IssuerUnavailable."""

    def __init__(
        self, name: str, fetch: Callable[[], Awaitable[T]], monotonic_clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._fetch = fetch
        self._monotonic_clock = monotonic_clock
        self._lock = asyncio.Lock()
        self._value: T | None = None
        self._fetched_at = -inf
        self._attempted_at = -inf
        self._failure: str | None = None
        """Why the last attempt failed, if it did."""

    async def latest(self) -> T:
        """The value; an old one is fetched anew if the issuer answers. Raises IssuerUnavailable if there is none."""
        if self._value is None:
            await self._attempt(MIN_RETRY_SECONDS)
        elif self._age() > REFRESH_SECONDS and not self._lock.locked():  # else another request is fetching it
            await self._attempt(MIN_REFETCH_SECONDS)
        if self._value is None:
            raise IssuerUnavailable(self._failure or f"the issuer's {self._name} could not be fetched")
        return self._value

    async def refetched(self) -> T:
        """The value as of at most `MIN_REFETCH_SECONDS` ago. Raises IssuerUnavailable if the last attempt failed."""
        await self._attempt(MIN_REFETCH_SECONDS)
        if self._failure is not None:
            raise IssuerUnavailable(self._failure)
        return await self.latest()

    def _age(self) -> float:
        return self._monotonic_clock() - self._fetched_at

    async def _attempt(self, min_interval_seconds: float) -> None:
        """Fetch the value, unless this was attempted recently. Concurrent callers wait for one attempt."""
        async with self._lock:
            if self._monotonic_clock() - self._attempted_at < min_interval_seconds:
                return
            try:
                self._value, self._failure = await self._fetch(), None
                self._fetched_at = self._monotonic_clock()
            except IssuerUnavailable as error:
                self._failure = str(error)
                log.warning("Issuer unavailable: nobody can sign in", missing=self._name, reason=self._failure)
            self._attempted_at = self._monotonic_clock()
