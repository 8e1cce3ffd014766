"""The benchmarks. Each starts its own servers and returns figures that can be stored as JSON."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from bench import profiling, registry, runner
from bench.registry import LIMITATIONS, NAIVE, OURS, PLAIN, SLOW_IMPLEMENTATIONS
from bench.runner import REPOSITORY, RunResult, StartProfiler
from bench.testbed import Servers, Testbed
from bench.workload import DATABASE, Network
from tests.bench import fold
from tools.sandbox.servers.issuer_configuration import UNUSED_ISSUER
from tools.sandbox.servers.process import RunError

PICTURES_DIR = REPOSITORY / "docs" / "performance"
PROFILE_SAMPLES_PER_SECOND = 200

REQUIRED_IMPLEMENTATIONS = (OURS, PLAIN, NAIVE)  # their failure is an error; others are left out

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured, and for how long."""

    relationships: int = 50_000
    rounds: int = 5
    partitions: int = 12
    run_seconds: float = 6.0
    """The longest that a run is measured."""
    slow_run_seconds: float = 3.0
    """The same for SLOW_IMPLEMENTATIONS."""
    mongodb_cache_gb: float = 1.0
    """MongoDB's cache; all data that a run touches fits in."""
    growth_relationships: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    growth_repeats: int = 3
    active_relationships: int = 10_000
    """How many relationships have events in the growth benchmark, at most; the others are only stored."""
    rebuild_relationships: int = 4_000
    process_counts: tuple[int, ...] = (1, 2, 4)

    def make_testbed(self, work_dir: Path, network: Network) -> Testbed:
        return Testbed(work_dir, network, self.partitions, self.mongodb_cache_gb)


def figures_of(result: RunResult) -> Figures:
    """A run as figures: `rate` in events per second, `memory` in MiB, CPU time in microseconds per event."""
    return {
        "events": result.events,
        "rate": result.events_per_second,
        "memory": result.peak_memory_bytes / 2**20,
        "own": result.microseconds_per_event(result.own_cpu_seconds),
        "mongodb": result.microseconds_per_event(result.mongodb_cpu_seconds),
        "kafka": result.microseconds_per_event(result.kafka_cpu_seconds),
    }


async def _run(
    testbed: Testbed,
    work_dir: Path,
    name: str,
    size: Size,
    process_count: int = 1,
    start_profiler: StartProfiler | None = None,
) -> Figures:
    implementation, log = registry.load_implementations((name,))[name], work_dir / f"{name}.log"
    max_seconds = size.slow_run_seconds if name in SLOW_IMPLEMENTATIONS else size.run_seconds
    with testbed.start_servers() as servers:
        result = await runner.run(implementation, servers, log, max_seconds, process_count, start_profiler)
        figures = figures_of(result) | {"bytes": _document_sizes(servers)}
    print(
        f"  {name:24} {result.events:,} events, {result.events_per_second:7,.0f} events/s; "
        f"us per event: {figures['own']:,.0f} own, {figures['mongodb']:,.0f} MongoDB, {figures['kafka']:,.0f} Kafka; "
        f"{figures['memory']:.0f} MiB",
        flush=True,
    )
    return figures


def _document_sizes(servers: Servers) -> Figures:
    """Bytes of an average state, of an average stored event, and of the indexes per event."""
    with MongoClient[dict[str, Any]](servers.mongodb.address) as mongo:
        states, events = (mongo[DATABASE].command("collStats", name) for name in ("alliances", "facts"))
    return {
        "state": states["avgObjSize"],
        "event": events["avgObjSize"],
        "index": events["totalIndexSize"] / events["count"],
    }


async def compare(work_dir: Path, size: Size, names: Sequence[str] = tuple(LIMITATIONS)) -> Figures:
    """Run every implementation on the same backlog, in turns; one that fails is left out and reported as failed."""
    testbed = size.make_testbed(work_dir, Network(size.relationships))
    await testbed.prepare()
    print(f"  {testbed.event_count:,} events of {size.relationships:,} relationships are on the topics", flush=True)
    runs: dict[str, list[Figures]] = {name: [] for name in names}
    failed: dict[str, str] = {}
    for round_number in range(size.rounds):
        for name in names[:: 1 if round_number % 2 == 0 else -1]:
            if name in failed:
                continue
            try:
                runs[name].append(await _run(testbed, work_dir, name, size))
            except RunError as error:
                if name in REQUIRED_IMPLEMENTATIONS:
                    raise
                failed[name] = str(error)
                print(f"  {name}: {error}", flush=True)
    completed_runs = {
        name: figures_of_runs for name, figures_of_runs in runs.items() if figures_of_runs and name not in failed
    }
    return {
        "relationships": size.relationships,
        "backlog": testbed.event_count,
        "runs": completed_runs,
        "failed": failed,
    }


async def profile(work_dir: Path, size: Size) -> Figures:
    """Sample what the alliance service does while it handles the backlog, and draw the flame graph."""
    profiler, samples_path = registry.installed_program("py-spy"), work_dir / "samples.raw"
    testbed = size.make_testbed(work_dir, Network(size.relationships // 4))
    await testbed.prepare()

    def start_profiler(pid: int) -> subprocess.Popen[bytes]:
        options = {
            "--pid": pid,
            "--rate": PROFILE_SAMPLES_PER_SECOND,
            "--format": "raw",
            "--output": samples_path,
            "--duration": 300,
        }
        command = [str(profiler), "record", *(str(word) for option in options.items() for word in option)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    figures = await _run(testbed, work_dir, OURS, size, start_profiler=start_profiler)
    sampled_stacks = profiling.parse_stacks(samples_path)
    PICTURES_DIR.mkdir(exist_ok=True)
    profiling.draw_flame_graph(sampled_stacks, PICTURES_DIR / "flame.svg")
    shares = profiling.stage_shares(sampled_stacks)
    if unseen := [stage for stage in profiling.STAGE_MARKS if stage not in shares]:
        print(f"  Stages without samples (rare, or their marks are out of date): {', '.join(unseen)}", flush=True)
    return {"run": figures, "samples": sum(sampled_stacks.values()), "shares": shares}


async def processes(work_dir: Path, size: Size) -> Figures:
    """Run one, two and four processes on the same backlog."""
    testbed = size.make_testbed(work_dir, Network(size.relationships // 2))
    await testbed.prepare()
    return {str(count): await _run(testbed, work_dir, OURS, size, process_count=count) for count in size.process_counts}


async def growth(work_dir: Path, size: Size) -> Figures:
    """Measure what an event costs with more and more relationships in the database."""
    figures: Figures = {}
    for number in size.growth_relationships:
        active = min(number, size.active_relationships)
        network = Network(
            number, coming_weeks=min(8, max(1, size.active_relationships // active)), active_relationships=active
        )
        testbed = replace(size, mongodb_cache_gb=4.0).make_testbed(work_dir / str(number), network)
        started_at = time.monotonic()
        await testbed.prepare()
        print(f"  {number:,} relationships created in {time.monotonic() - started_at:.0f} s", flush=True)
        runs = sorted(
            [await _run(testbed, work_dir, OURS, size) for _ in range(size.growth_repeats)], key=_microseconds_per_event
        )
        figures[str(number)] = {"active": active, "backlog": testbed.event_count, **runs[len(runs) // 2]}
        testbed.remove_template()
    return figures


def _microseconds_per_event(figures: Figures) -> float:
    return float(figures["own"] + figures["mongodb"] + figures["kafka"])


async def history(_work_dir: Path, _size: Size) -> Figures:
    """Measure what one more event costs after a long history."""
    return {"costs": [asdict(cost) for cost in fold.measure_costs()]}


async def rebuild(work_dir: Path, size: Size) -> Figures:
    """Handle all events live, then rebuild: with a correct database, an empty one, and with two processes."""
    testbed = size.make_testbed(work_dir, Network(size.rebuild_relationships, past_weeks=0, coming_weeks=8))
    await testbed.prepare()
    implementation, log = registry.load_implementations((OURS,))[OURS], work_dir / "rebuild.log"
    figures: Figures = {"backlog": testbed.event_count}
    with testbed.start_servers() as servers:
        result = await runner.run(implementation, servers, log, 300.0)
        figures["live"] = figures_of(result)
        for name, count, from_empty in (
            ("correct database", 1, False),
            ("empty database", 1, True),
            ("empty database, two processes", 2, True),
        ):
            if from_empty:
                with MongoClient[dict[str, Any]](servers.mongodb.address) as mongo:
                    mongo.drop_database(DATABASE)
            seconds = await asyncio.to_thread(_run_rebuild, servers, count, log)
            rate = testbed.event_count / seconds
            figures[name] = {"seconds": seconds, "rate": rate}
            print(f"  rebuild, {name}: {rate:,.0f} events/s; live: {result.events_per_second:,.0f}", flush=True)
    return figures


def _run_rebuild(servers: Servers, count: int, log: Path) -> float:
    """Run `rebuild` in `count` processes and return the seconds it takes, start included. Raises RunError."""
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka.address,
        "MONGODB_URI": servers.mongodb.address,
        "MONGODB_DATABASE": DATABASE,
        **UNUSED_ISSUER,
    }
    started_at = time.perf_counter()
    with log.open("ab") as output:
        command = [sys.executable, "-m", "services.alliance", "rebuild"]
        rebuild_processes = [
            subprocess.Popen(command, env=environment, stdout=output, stderr=output) for _ in range(count)
        ]
        exit_codes = [process.wait() for process in rebuild_processes]
    if any(exit_codes):
        with suppress(OSError):
            print(log.read_text()[-2_000:])
        raise RunError(f"The rebuild ended with exit codes {exit_codes}")
    return time.perf_counter() - started_at
