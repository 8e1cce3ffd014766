"""Measures the capacity, and the latency at some shares of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bench.benchmarks import Figures, Size
from bench.latency.forms import ANSWERS_PER_ALERT
from bench.latency.load_generator import MAX_CONCURRENT_REQUESTS, LoadGenerator
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.stack import SERVICES, RunningStack, run_stack

LOAD_SHARES = (0.25, 0.5, 0.8)  # of the capacity


@dataclass(frozen=True, slots=True)
class Load:
    """How much load is generated."""

    capacity_answers: int = 2_000
    """Answers by which the capacity is measured."""
    seconds_per_share: float = 20.0
    """How long each share of the capacity is measured."""


FULL_LOAD = Load()


async def latency(work_dir: Path, size: Size) -> Figures:
    """Measure the capacity, then the latency at some shares of it. Raises RunError, also if an alert never arrives."""
    return await measure_latency(work_dir, size, FULL_LOAD)


async def measure_latency(work_dir: Path, _size: Size, load: Load) -> Figures:
    """As `latency`, with this load."""
    async with _run_stack(work_dir) as stack, LoadGenerator(stack) as generator:
        capacity = await generator.measure_capacity(await generator.create_forms(load.capacity_answers))
        print(
            f"  capacity {capacity['capacity']:.0f} answers/s: {capacity['answer_rate']:.0f} until the last answer, "
            f"{capacity['alert_rate']:.0f} until the last alert",
            flush=True,
        )
        counts = {share: round(share * capacity["capacity"] * load.seconds_per_share) for share in LOAD_SHARES}
        forms = iter(await generator.create_forms(sum(counts.values())))
        steps = []
        for share, count in counts.items():
            step = {
                "share": share,
                **await generator.measure_at_rate(list(islice(forms, count)), count / load.seconds_per_share),
            }
            steps.append(step)
            print(
                f"  at {share:.0%}: {step['rate']:.0f} answers/s, {step['alerts']} alerts after {step['p50']:.0f} ms, "
                f"p99 {step['p99']:.0f} ms, p99.9 {step['p99.9']:.0f} ms; {step['stack_share']:.0%} of the machine, "
                f"other processes {step['other_share']:.0%}",
                flush=True,
            )
    return {
        **capacity,
        "seconds": load.seconds_per_share,
        "concurrent_requests": MAX_CONCURRENT_REQUESTS,
        "answers_per_alert": ANSWERS_PER_ALERT,
        "steps": steps,
    }


@asynccontextmanager
async def _run_stack(work_dir: Path) -> AsyncIterator[RunningStack]:
    """Run all services and servers; they are stopped afterwards, also if this is cancelled while they start."""
    ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
    exit_stack = ExitStack()
    running_stack = run_stack(work_dir, ports, {"LOG_LEVEL": "warning"}, report=_discard)
    start_task = asyncio.create_task(asyncio.to_thread(exit_stack.enter_context, running_stack))
    try:
        yield await asyncio.shield(start_task)
    finally:
        await asyncio.wait([start_task])
        await asyncio.to_thread(exit_stack.close)


def _discard(_text: str) -> None:
    """Prints nothing: the figures are the report."""
