"""Sends requests to the services, with retries until they are accepted.

A request is retried with the same ids if a service is unavailable or has not yet received the events it depends on.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import count
from types import TracebackType
from typing import Any, Self

import httpx2

from shared.runtime.backoff import backoff
from tools.sandbox.network.ledger import AcknowledgedRequest, Ledger
from tools.sandbox.network.sign_in import SignInFailed
from tools.sandbox.servers.front_door_routes import address_of

MAX_CONNECTIONS = 128
REQUEST_TIMEOUT_SECONDS = 60.0  # how long a request is retried
RETRYABLE_PROBLEMS = (
    "unknown-relationship",
    "unknown-clinician",
    "unknown-client",
    "unknown-clinic",
    "no-consent",
    "unavailable",
    "forbidden",  # until the service has received the roles of somebody new
    "unauthenticated",  # by a service whose clock is wrong; another one's may be right
)


class RequestFailed(Exception):
    """A service rejected a valid request, or did not accept it before the timeout."""


class RetryingClient:
    """Sends requests of many senders, and records those that were accepted."""

    def __init__(
        self,
        urls: Mapping[str, Sequence[str]],
        ledger: Ledger,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    ) -> None:
        """`urls` has one or more processes per service; every attempt goes to the next one."""
        self.ledger = ledger
        self._urls = urls
        self._timeout_seconds = timeout_seconds
        self._request_numbers = count()
        self._exit_stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        limits = httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)
        self._http = await self._exit_stack.enter_async_context(httpx2.AsyncClient(timeout=30, limits=limits))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit_stack.aclose()

    async def get(self, service: str, path: str, auth: httpx2.Auth | None) -> Any:
        """The JSON of a GET response. Raises RequestFailed."""
        return (await self.request("GET", service, path, auth)).json()

    async def request(
        self, method: str, service: str, path: str, auth: httpx2.Auth | None, body: Any = None
    ) -> httpx2.Response:
        """Send a request, with retries, until it is accepted. Raises RequestFailed."""
        return await self._request_until_accepted(method, service, path, auth=auth, json=body)

    async def request_once(self, method: str, service: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request once and return the response, whatever its status."""
        return await self._http.request(method, address_of(path, self._urls[service][0]), **options)

    async def stream_events(self, service: str, path: str, auth: httpx2.Auth | None) -> AsyncIterator[Any]:
        """The data of server-sent events without a name, which pings have. Raises HTTPStatusError."""
        async with self._http.stream("GET", self._urls[service][0] + path, auth=auth, timeout=None) as response:
            response.raise_for_status()
            event_name = ""
            async for line in response.aiter_lines():
                if line.startswith("event:"):
                    event_name = line
                elif line.startswith("data:") and not event_name:
                    yield json.loads(line.removeprefix("data:"))
                elif not line:
                    event_name = ""

    async def _request_until_accepted(self, method: str, service: str, path: str, **options: Any) -> httpx2.Response:
        deadline = time.monotonic() + self._timeout_seconds
        for wait_seconds in backoff(max_delay_seconds=1.0):
            url = address_of(path, self._urls[service][next(self._request_numbers) % len(self._urls[service])])
            try:
                response = await self._http.request(method, url, **options)
            except (httpx2.TransportError, SignInFailed) as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                if response.status_code < 400:
                    self._record_request(method, service, path, options.get("json") or options.get("data"), response)
                    return response
                problem = f"{response.status_code}: {response.text[:500]}"
                if response.status_code != 503 and not any(
                    problem_code in problem for problem_code in RETRYABLE_PROBLEMS
                ):
                    raise RequestFailed(f"{method} {url}: {problem}")
            if time.monotonic() > deadline:
                raise RequestFailed(f"{method} {url}, for {self._timeout_seconds:.0f} s: {problem}")
            self.ledger.request_counts["retried"] += 1
            await asyncio.sleep(wait_seconds)
        raise AssertionError("backoff never ends")

    def _record_request(self, method: str, service: str, path: str, body: Any, response: httpx2.Response) -> None:
        self.ledger.request_counts["accepted"] += 1
        if method != "GET":
            response_body = (
                response.json() if response.headers.get("content-type", "").startswith("application/json") else None
            )
            self.ledger.requests.append(
                AcknowledgedRequest(method, service, path, body or {}, response_body, datetime.now(UTC))
            )
