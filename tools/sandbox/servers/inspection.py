"""Observes a running stack from outside: memory, metrics, and whether it is idle."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import httpx2

from tools.sandbox.servers.kafka_inspector import KafkaInspector
from tools.sandbox.servers.process import LocalServer

QUIET_SECONDS = 2.0  # without any change for so long, the system is idle
POLL_INTERVAL_SECONDS = 0.25


def memory_mb(server: LocalServer) -> float:
    """The resident memory of its process, in megabytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text() if server.process else ""
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(match[1]) / 1024 if match else 0.0


def metric_value(exposition: str, name: str) -> float:
    """The sum of a metric over all its labels, in the text of `/metrics`."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", exposition, re.MULTILINE))


async def fetch_metric(ops_url: str, name: str) -> float:
    """The current sum of a metric of a service over all its labels."""
    async with httpx2.AsyncClient(timeout=30) as http:
        response = await http.get(f"{ops_url}/metrics")
        return metric_value(response.raise_for_status().text, name)


async def wait_until_idle(
    kafka_inspector: KafkaInspector, received: Sequence[Sequence[object]], timeout_seconds: float
) -> bool:
    """Wait until there is no lag and nothing has changed for a while; False on timeout."""
    deadline = time.monotonic() + timeout_seconds
    previous: object = None
    unchanged_since = time.monotonic()
    while time.monotonic() < deadline:
        end_offsets = await kafka_inspector.end_offsets()
        lag = sum((await kafka_inspector.lag(end_offsets)).values())
        current = (end_offsets, [len(messages) for messages in received])
        if lag or current != previous:
            previous, unchanged_since = current, time.monotonic()
        elif time.monotonic() - unchanged_since >= QUIET_SECONDS:
            return True
        await asyncio.sleep(POLL_INTERVAL_SECONDS)
    return False


async def wait_until(condition: Callable[[], Awaitable[bool]], timeout_seconds: float) -> bool:
    """Wait until the condition holds; False on timeout."""
    deadline = time.monotonic() + timeout_seconds
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_INTERVAL_SECONDS)
    return True
