"""The clinicians' open inboxes: when each alert arrives there."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from uuid import UUID

import httpx2

from bench.latency.forms import Form
from tools.sandbox.network.credentials import Credentials
from tools.sandbox.servers.process import RunError

TIMEOUT_SECONDS = 30.0  # until all streams are open, and until the last alert


class InboxStreams:
    """Open inbox streams, and the time at which each alert first arrived."""

    def __init__(
        self, http: httpx2.AsyncClient, credentials: Credentials, notify_url: str, forms: Sequence[Form]
    ) -> None:
        self._http = http
        self._credentials = credentials
        self._notify_url = notify_url
        self._alert_times = {form.relationship_id: asyncio.Future[float]() for form in forms if form.raises_alert}
        self._opened = {form.clinician_id: asyncio.Event() for form in forms}
        self._read_tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        self._read_tasks = [asyncio.create_task(self._read_stream(*inbox)) for inbox in self._opened.items()]
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await asyncio.gather(*(is_open.wait() for is_open in self._opened.values()))
        except TimeoutError:
            raise RunError(f"Not every inbox stream opened within {TIMEOUT_SECONDS:.0f} s") from None

    async def close(self) -> None:
        for task in self._read_tasks:
            task.cancel()
        await asyncio.gather(*self._read_tasks, return_exceptions=True)

    async def wait_for_alerts(self) -> Mapping[UUID, float]:
        """Wait for all alerts; when the alert of each relationship arrived. Raises RunError."""
        _, missing = await asyncio.wait(self._alert_times.values(), timeout=TIMEOUT_SECONDS)
        if missing:
            ended_count = sum(task.done() for task in self._read_tasks)
            raise RunError(
                f"{len(missing)} of {len(self._alert_times)} alerts did not arrive within {TIMEOUT_SECONDS:.0f} s of "
                f"the last answer; notify closed {ended_count} of {len(self._read_tasks)} inbox streams"
            )
        return {relationship: alert_time.result() for relationship, alert_time in self._alert_times.items()}

    async def _read_stream(self, clinician: UUID, is_open: asyncio.Event) -> None:
        url = f"{self._notify_url}/clinicians/{clinician}/inbox/stream"
        auth = self._credentials.clinician(clinician)
        async with self._http.stream("GET", url, auth=auth, timeout=None) as response:
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    self._record_alerts(line.removeprefix("data:"))
                    is_open.set()

    def _record_alerts(self, inbox: str) -> None:
        seen_at = time.perf_counter()
        for alert in json.loads(inbox).get("alerts", ()):  # a ping has none
            alert_time = self._alert_times.get(UUID(alert["relationship_id"]))  # others are from an earlier share
            if alert_time is not None and not alert_time.done():
                alert_time.set_result(seen_at)
