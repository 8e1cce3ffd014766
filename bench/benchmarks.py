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
from bench.registry import CANNOT, NAIVE, OURS, PLAIN, SLOW
from bench.runner import HOME, Lap
from bench.testbed import Servers, Stage
from bench.workload import DATABASE, Network
from tests.bench import fold
from tools.sandbox.servers.process import CannotRun

PICTURES = HOME / "docs" / "performance"
SAMPLES = 200  # of the profile, each second

OWN = (OURS, PLAIN, NAIVE)  # must end well

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    relationships: int = 50_000
    rounds: int = 5
    partitions: int = 12
    seconds: float = 6.0
    """Of a lap, at most."""
    slow_seconds: float = 3.0
    cache_gb: float = 1.0
    """Of memory for MongoDB: all that a lap touches fits in."""
    grown: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    laps_of_growth: int = 3
    told: int = 10_000
    """Relationships that are told of while others are only there."""
    rebuilt: int = 4_000
    processes: tuple[int, ...] = (1, 2, 4)

    def stage(self, work_dir: Path, network: Network) -> Stage:
        return Stage(work_dir, network, self.partitions, self.cache_gb)


def figures_of(result: Lap) -> Figures:
    """What a lap says, for each event."""
    microseconds = {name: result.microseconds(getattr(result, name)) for name in ("own", "mongodb", "kafka")}
    return {"events": result.events, "rate": result.rate, "memory": result.memory / 2**20, **microseconds}


async def _lap(testbed: Stage, work_dir: Path, name: str, size: Size, **how: Any) -> Figures:
    implementation = registry.contestants((name,))[name]
    with testbed.lap() as servers:
        limit = size.slow_seconds if name in SLOW else size.seconds
        result = await runner.run(implementation, servers, work_dir / f"{name}.log", limit, **how)
        figures = figures_of(result) | {"bytes": _bytes(servers)}
    print(
        f"  {name:24} {result.rate:7,.0f} events/s of {result.events:,}; us for each: {figures['own']:,.0f} its own, "
        f"{figures['mongodb']:,.0f} MongoDB, {figures['kafka']:,.0f} Kafka; {figures['memory']:.0f} MiB",
        flush=True,
    )
    return figures


def _bytes(servers: Servers) -> Figures:
    """Of a state, of a fact as it is kept, and of the indexes for each fact."""
    with MongoClient[dict[str, Any]](servers.mongodb.address) as mongo:
        states, events = (mongo[DATABASE].command("collStats", name) for name in ("alliances", "facts"))
    return {
        "state": states["avgObjSize"],
        "fact": events["avgObjSize"],
        "index": events["totalIndexSize"] / events["count"],
    }


async def side_by_side(work_dir: Path, size: Size, names: Sequence[str] = tuple(CANNOT)) -> Figures:
    """Everybody on the same backlog, in turns; who does not begin or ends is left out, and said."""
    testbed = size.stage(work_dir, Network(size.relationships))
    await testbed.prepare()
    print(f"  {testbed.facts:,} facts of {size.relationships:,} relationships wait", flush=True)
    runs: dict[str, list[Figures]] = {name: [] for name in names}
    failed: dict[str, str] = {}
    for round_number in range(size.rounds):
        for name in names[:: 1 if round_number % 2 == 0 else -1]:
            if name in failed:
                continue
            try:
                runs[name].append(await _lap(testbed, work_dir, name, size))
            except CannotRun as error:
                if name in OWN:
                    raise
                failed[name] = str(error)
                print(f"  {name}: {error}", flush=True)
    completed_runs = {
        name: figures_of_runs for name, figures_of_runs in runs.items() if figures_of_runs and name not in failed
    }
    return {"relationships": size.relationships, "facts": testbed.facts, "laps": completed_runs, "failed": failed}


async def profile(work_dir: Path, size: Size) -> Figures:
    """What our process does all the time."""
    profiler, samples_path = registry.installed("py-spy"), work_dir / "seen.raw"
    testbed = size.stage(work_dir, Network(size.relationships // 4))
    await testbed.prepare()

    def look(pid: int) -> subprocess.Popen[bytes]:
        command = [
            str(profiler),
            "record",
            "-p",
            str(pid),
            "-r",
            str(SAMPLES),
            "-f",
            "raw",
            "-o",
            str(samples_path),
            "-d",
            "300",
        ]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    figures = await _lap(testbed, work_dir, OURS, size, spy=look)
    sampled_stacks = profiling.stacks(samples_path)
    PICTURES.mkdir(exist_ok=True)
    profiling.draw(sampled_stacks, PICTURES / "flame.svg")
    return {"lap": figures, "samples": sum(sampled_stacks.values()), "shares": profiling.shares(sampled_stacks)}


async def processes(work_dir: Path, size: Size) -> Figures:
    """One process, two, four, on the same backlog."""
    testbed = size.stage(work_dir, Network(size.relationships // 2))
    await testbed.prepare()
    return {str(count): await _lap(testbed, work_dir, OURS, size, processes=count) for count in size.processes}


async def growth(work_dir: Path, size: Size) -> Figures:
    """What an event costs among more and more relationships."""
    figures: Figures = {}
    for number in size.grown:
        active = min(number, size.told)
        network = Network(number, ahead=min(8, max(1, size.told // active)), told=active)
        testbed = replace(size, cache_gb=4.0).stage(work_dir / str(number), network)
        started_at = time.monotonic()
        await testbed.prepare()
        print(f"  {number:,} relationships made in {time.monotonic() - started_at:.0f} s", flush=True)
        runs = sorted([await _lap(testbed, work_dir, OURS, size) for _ in range(size.laps_of_growth)], key=_cost)
        figures[str(number)] = {"told": active, "facts": testbed.facts, **runs[len(runs) // 2]}
        testbed.forget()
    return figures


def _cost(figures: Figures) -> float:
    return float(figures["own"] + figures["mongodb"] + figures["kafka"])


async def history(_work_dir: Path, _size: Size) -> Figures:
    """What one more fact costs after a long history."""
    return {"costs": [asdict(cost) for cost in fold.costs()]}


async def rebuilding(work_dir: Path, size: Size) -> Figures:
    """All that was ever told taken in live, then rebuilt: where all is right, from nothing, and by two processes."""
    testbed = size.stage(work_dir, Network(size.rebuilt, weeks=0, ahead=8))
    await testbed.prepare()
    implementation, log = registry.contestants((OURS,))[OURS], work_dir / "rebuild.log"
    figures: Figures = {"facts": testbed.facts}
    with testbed.lap() as servers:
        result = await runner.run(implementation, servers, log, 300.0)
        figures["live"] = figures_of(result)
        for name, count, from_empty in (("right", 1, False), ("nothing", 1, True), ("nothing, two processes", 2, True)):
            if from_empty:
                with MongoClient[dict[str, Any]](servers.mongodb.address) as mongo:
                    mongo.drop_database(DATABASE)
            seconds = await asyncio.to_thread(_rebuild, servers, count, log)
            figures[name] = {"seconds": seconds, "rate": testbed.facts / seconds}
            print(f"  rebuilt ({name}) at {testbed.facts / seconds:,.0f} events/s, live {result.rate:,.0f}", flush=True)
    return figures


def _rebuild(servers: Servers, count: int, log: Path) -> float:
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
        raise CannotRun(f"the rebuild ended with {exit_codes}")
    return time.perf_counter() - started_at
