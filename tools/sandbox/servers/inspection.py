"""Looking at a running stack from outside: memory, metrics, and whether anything still moves."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tools.sandbox.servers.kafka_inspector import Topics
from tools.sandbox.servers.process import LocalServer

QUIET = 2.0  # seconds without any movement mean that nothing more comes by itself
LOOK_EVERY = 0.25


def memory(server: LocalServer) -> float:
    """Megabytes of memory that its process holds now."""
    status = Path(f"/proc/{server.process.pid}/status").read_text() if server.process else ""
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def metric(exposed: str, name: str) -> float:
    """The sum of a metric over its labels, in what a service shows at `/metrics`."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", exposed, re.MULTILINE))


async def still(topics: Topics, received: Sequence[Sequence[object]], within: float) -> bool:
    """Wait until no consumer is behind and nothing has moved for a while; false when that does not come about."""
    give_up = time.monotonic() + within
    seen: object = None
    since = time.monotonic()
    while time.monotonic() < give_up:
        ends = await topics.ends()
        lag = sum((await topics.lag(ends)).values())
        now = (ends, [len(messages) for messages in received])
        if lag or now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since >= QUIET:
            return True
        await asyncio.sleep(LOOK_EVERY)
    return False


async def until(condition: Callable[[], Awaitable[bool]], within: float) -> bool:
    """Wait until it holds; false when it does not."""
    give_up = time.monotonic() + within
    while not await condition():
        if time.monotonic() > give_up:
            return False
        await asyncio.sleep(LOOK_EVERY)
    return True
