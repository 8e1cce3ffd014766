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

    def stage(self, room: Path, network: Network) -> Stage:
        return Stage(room, network, self.partitions, self.cache_gb)


def figures_of(lap: Lap) -> Figures:
    """What a lap says, for each event."""
    us = {name: lap.microseconds(getattr(lap, name)) for name in ("own", "mongodb", "kafka")}
    return {"events": lap.events, "rate": lap.rate, "memory": lap.memory / 2**20, **us}


async def _lap(stage: Stage, room: Path, name: str, size: Size, **how: Any) -> Figures:
    contestant = registry.contestants((name,))[name]
    with stage.lap() as servers:
        limit = size.slow_seconds if name in SLOW else size.seconds
        lap = await runner.run(contestant, servers, room / f"{name}.log", limit, **how)
        found = figures_of(lap) | {"bytes": _bytes(servers)}
    print(
        f"  {name:24} {lap.rate:7,.0f} events/s of {lap.events:,}; us for each: {found['own']:,.0f} its own, "
        f"{found['mongodb']:,.0f} MongoDB, {found['kafka']:,.0f} Kafka; {found['memory']:.0f} MiB",
        flush=True,
    )
    return found


def _bytes(servers: Servers) -> Figures:
    """Of a state, of a fact as it is kept, and of the indexes for each fact."""
    with MongoClient[dict[str, Any]](servers.mongodb.address) as mongo:
        states, facts = (mongo[DATABASE].command("collStats", name) for name in ("alliances", "facts"))
    return {
        "state": states["avgObjSize"],
        "fact": facts["avgObjSize"],
        "index": facts["totalIndexSize"] / facts["count"],
    }


async def side_by_side(room: Path, size: Size, names: Sequence[str] = tuple(CANNOT)) -> Figures:
    """Everybody on the same backlog, in turns; who does not begin or ends is left out, and said."""
    stage = size.stage(room, Network(size.relationships))
    await stage.prepare()
    print(f"  {stage.facts:,} facts of {size.relationships:,} relationships wait", flush=True)
    laps: dict[str, list[Figures]] = {name: [] for name in names}
    failed: dict[str, str] = {}
    for number in range(size.rounds):
        for name in names[:: 1 if number % 2 == 0 else -1]:
            if name in failed:
                continue
            try:
                laps[name].append(await _lap(stage, room, name, size))
            except CannotRun as error:
                if name in OWN:
                    raise
                failed[name] = str(error)
                print(f"  {name}: {error}", flush=True)
    there = {name: run for name, run in laps.items() if run and name not in failed}
    return {"relationships": size.relationships, "facts": stage.facts, "laps": there, "failed": failed}


async def profile(room: Path, size: Size) -> Figures:
    """What our process does all the time."""
    spy, raw = registry.installed("py-spy"), room / "seen.raw"
    stage = size.stage(room, Network(size.relationships // 4))
    await stage.prepare()

    def look(pid: int) -> subprocess.Popen[bytes]:
        command = [str(spy), "record", "-p", str(pid), "-r", str(SAMPLES), "-f", "raw", "-o", str(raw), "-d", "300"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    lap = await _lap(stage, room, OURS, size, spy=look)
    seen = profiling.stacks(raw)
    PICTURES.mkdir(exist_ok=True)
    profiling.draw(seen, PICTURES / "flame.svg")
    return {"lap": lap, "samples": sum(seen.values()), "shares": profiling.shares(seen)}


async def processes(room: Path, size: Size) -> Figures:
    """One process, two, four, on the same backlog."""
    stage = size.stage(room, Network(size.relationships // 2))
    await stage.prepare()
    return {str(count): await _lap(stage, room, OURS, size, processes=count) for count in size.processes}


async def growth(room: Path, size: Size) -> Figures:
    """What an event costs among more and more relationships."""
    found: Figures = {}
    for number in size.grown:
        told = min(number, size.told)
        network = Network(number, ahead=min(8, max(1, size.told // told)), told=told)
        stage = replace(size, cache_gb=4.0).stage(room / str(number), network)
        begun = time.monotonic()
        await stage.prepare()
        print(f"  {number:,} relationships made in {time.monotonic() - begun:.0f} s", flush=True)
        laps = sorted([await _lap(stage, room, OURS, size) for _ in range(size.laps_of_growth)], key=_cost)
        found[str(number)] = {"told": told, "facts": stage.facts, **laps[len(laps) // 2]}
        stage.forget()
    return found


def _cost(lap: Figures) -> float:
    return float(lap["own"] + lap["mongodb"] + lap["kafka"])


async def history(_room: Path, _size: Size) -> Figures:
    """What one more fact costs after a long history."""
    return {"costs": [asdict(cost) for cost in fold.costs()]}


async def rebuilding(room: Path, size: Size) -> Figures:
    """All that was ever told taken in live, then rebuilt: where all is right, from nothing, and by two processes."""
    stage = size.stage(room, Network(size.rebuilt, weeks=0, ahead=8))
    await stage.prepare()
    ours, log = registry.contestants((OURS,))[OURS], room / "rebuild.log"
    found: Figures = {"facts": stage.facts}
    with stage.lap() as servers:
        lap = await runner.run(ours, servers, log, 300.0)
        found["live"] = figures_of(lap)
        for name, count, afresh in (("right", 1, False), ("nothing", 1, True), ("nothing, two processes", 2, True)):
            if afresh:
                with MongoClient[dict[str, Any]](servers.mongodb.address) as mongo:
                    mongo.drop_database(DATABASE)
            took = await asyncio.to_thread(_rebuild, servers, count, log)
            found[name] = {"seconds": took, "rate": stage.facts / took}
            print(f"  rebuilt ({name}) at {stage.facts / took:,.0f} events/s, live {lap.rate:,.0f}", flush=True)
    return found


def _rebuild(servers: Servers, count: int, log: Path) -> float:
    """How many seconds it takes, with the start of the command. Raises CannotRun."""
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka.address,
        "MONGODB_URI": servers.mongodb.address,
        "MONGODB_DATABASE": DATABASE,
    }
    begun = time.perf_counter()
    with log.open("ab") as output:
        command = [sys.executable, "-m", "services.alliance", "rebuild"]
        running = [subprocess.Popen(command, env=environment, stdout=output, stderr=output) for _ in range(count)]
        ended = [process.wait() for process in running]
    if any(ended):
        with suppress(OSError):
            print(log.read_text()[-2_000:])
        raise CannotRun(f"the rebuild ended with {ended}")
    return time.perf_counter() - begun
