"""What is measured, part by part. Each starts its own servers and gives figures that can be kept as JSON."""

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
from bench.runner import REPOSITORY, RunResult
from bench.testbed import Servers, Testbed
from bench.workload import DATABASE, Network
from tests.bench import fold
from tools.sandbox.servers.process import RunError

PICTURES_DIR = REPOSITORY / "docs" / "performance"
PROFILE_SAMPLES_PER_SECOND = 200  # of the profile, each second

REQUIRED_IMPLEMENTATIONS = (OURS, PLAIN, NAIVE)  # must end well

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    relationships: int = 50_000
    rounds: int = 5
    partitions: int = 12
    run_seconds: float = 6.0
    """Of a lap, at most."""
    slow_run_seconds: float = 3.0
    mongodb_cache_gb: float = 1.0
    """Of memory for MongoDB: all that a lap touches fits in."""
    growth_relationships: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    growth_repeats: int = 3
    active_relationships: int = 10_000
    """Relationships that are told of while others are only there."""
    rebuild_relationships: int = 4_000
    process_counts: tuple[int, ...] = (1, 2, 4)

    def make_testbed(self, work_dir: Path, network: Network) -> Testbed:
        return Testbed(work_dir, network, self.partitions, self.mongodb_cache_gb)


def figures_of(result: RunResult) -> Figures:
    """What a lap says, for each event."""
    microseconds = {name: result.microseconds_per_event(getattr(result, name)) for name in ("own", "mongodb", "kafka")}
    return {
        "events": result.events,
        "rate": result.events_per_second,
        "memory": result.peak_memory_bytes / 2**20,
        **microseconds,
    }


async def _run(testbed: Testbed, work_dir: Path, name: str, size: Size, **options: Any) -> Figures:
    implementation = registry.load_implementations((name,))[name]
    with testbed.start_servers() as servers:
        limit = size.slow_run_seconds if name in SLOW_IMPLEMENTATIONS else size.run_seconds
        result = await runner.run(implementation, servers, work_dir / f"{name}.log", limit, **options)
        figures = figures_of(result) | {"bytes": _document_sizes(servers)}
    print(
        f"  {name:24} {result.events_per_second:7,.0f} events/s of {result.events:,}; us for each: {figures['own']:,.0f} its own, "
        f"{figures['mongodb']:,.0f} MongoDB, {figures['kafka']:,.0f} Kafka; {figures['memory']:.0f} MiB",
        flush=True,
    )
    return figures


def _document_sizes(servers: Servers) -> Figures:
    """Of a state, of a fact as it is kept, and of the indexes for each fact."""
    with MongoClient[dict[str, Any]](servers.mongodb.address) as mongo:
        states, events = (mongo[DATABASE].command("collStats", name) for name in ("alliances", "facts"))
    return {
        "state": states["avgObjSize"],
        "fact": events["avgObjSize"],
        "index": events["totalIndexSize"] / events["count"],
    }


async def compare(work_dir: Path, size: Size, names: Sequence[str] = tuple(LIMITATIONS)) -> Figures:
    """Everybody on the same backlog, in turns; who does not begin or ends is left out, and said."""
    testbed = size.make_testbed(work_dir, Network(size.relationships))
    await testbed.prepare()
    print(f"  {testbed.event_count:,} facts of {size.relationships:,} relationships wait", flush=True)
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
    return {"relationships": size.relationships, "facts": testbed.event_count, "laps": completed_runs, "failed": failed}


async def profile(work_dir: Path, size: Size) -> Figures:
    """What our process does all the time."""
    profiler, samples_path = registry.installed_program("py-spy"), work_dir / "seen.raw"
    testbed = size.make_testbed(work_dir, Network(size.relationships // 4))
    await testbed.prepare()

    def start_profiler(pid: int) -> subprocess.Popen[bytes]:
        command = [
            str(profiler),
            "record",
            "-p",
            str(pid),
            "-r",
            str(PROFILE_SAMPLES_PER_SECOND),
            "-f",
            "raw",
            "-o",
            str(samples_path),
            "-d",
            "300",
        ]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    figures = await _run(testbed, work_dir, OURS, size, spy=start_profiler)
    sampled_stacks = profiling.parse_stacks(samples_path)
    PICTURES_DIR.mkdir(exist_ok=True)
    profiling.draw_flame_graph(sampled_stacks, PICTURES_DIR / "flame.svg")
    return {"lap": figures, "samples": sum(sampled_stacks.values()), "shares": profiling.stage_shares(sampled_stacks)}


async def processes(work_dir: Path, size: Size) -> Figures:
    """One process, two, four, on the same backlog."""
    testbed = size.make_testbed(work_dir, Network(size.relationships // 2))
    await testbed.prepare()
    return {str(count): await _run(testbed, work_dir, OURS, size, processes=count) for count in size.process_counts}


async def growth(work_dir: Path, size: Size) -> Figures:
    """What an event costs among more and more relationships."""
    figures: Figures = {}
    for number in size.growth_relationships:
        active = min(number, size.active_relationships)
        network = Network(
            number, coming_weeks=min(8, max(1, size.active_relationships // active)), active_relationships=active
        )
        testbed = replace(size, mongodb_cache_gb=4.0).make_testbed(work_dir / str(number), network)
        started_at = time.monotonic()
        await testbed.prepare()
        print(f"  {number:,} relationships made in {time.monotonic() - started_at:.0f} s", flush=True)
        runs = sorted(
            [await _run(testbed, work_dir, OURS, size) for _ in range(size.growth_repeats)], key=_microseconds_per_event
        )
        figures[str(number)] = {"told": active, "facts": testbed.event_count, **runs[len(runs) // 2]}
        testbed.remove_template()
    return figures


def _microseconds_per_event(figures: Figures) -> float:
    return float(figures["own"] + figures["mongodb"] + figures["kafka"])


async def history(_work_dir: Path, _size: Size) -> Figures:
    """What one more fact costs after a long history."""
    return {"costs": [asdict(cost) for cost in fold.measure_costs()]}


async def rebuild(work_dir: Path, size: Size) -> Figures:
    """All that was ever told taken in live, then rebuilt: where all is right, from nothing, and by two processes."""
    testbed = size.make_testbed(work_dir, Network(size.rebuild_relationships, past_weeks=0, coming_weeks=8))
    await testbed.prepare()
    implementation, log = registry.load_implementations((OURS,))[OURS], work_dir / "rebuild.log"
    figures: Figures = {"facts": testbed.event_count}
    with testbed.start_servers() as servers:
        result = await runner.run(implementation, servers, log, 300.0)
        figures["live"] = figures_of(result)
        for name, count, from_empty in (("right", 1, False), ("nothing", 1, True), ("nothing, two processes", 2, True)):
            if from_empty:
                with MongoClient[dict[str, Any]](servers.mongodb.address) as mongo:
                    mongo.drop_database(DATABASE)
            seconds = await asyncio.to_thread(_run_rebuild, servers, count, log)
            figures[name] = {"seconds": seconds, "rate": testbed.event_count / seconds}
            print(
                f"  rebuilt ({name}) at {testbed.event_count / seconds:,.0f} events/s, live {result.events_per_second:,.0f}",
                flush=True,
            )
    return figures


def _run_rebuild(servers: Servers, count: int, log: Path) -> float:
    """How many seconds it takes, with the start of the command. Raises CannotRun."""
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka.address,
        "MONGODB_URI": servers.mongodb.address,
        "MONGODB_DATABASE": DATABASE,
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
        raise RunError(f"the rebuild ended with {exit_codes}")
    return time.perf_counter() - started_at
