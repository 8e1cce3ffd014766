"""`python -m bench`: who does the same work, how fast, and at what cost to whom."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench import race
from bench.race import Contestant, Lap
from bench.stage import Stage
from bench.work import Network
from deploy.local.ports import free_ports

CACHE_GB = 1.0  # of memory for MongoDB: all that a lap touches fits in

OURS, PLAIN = "ours", "plain"


def contestants() -> dict[str, Contestant]:
    """Everybody who can take part."""
    python = sys.executable
    own = {"HTTP_PORT": str(free_ports(1)[0]), "LOG_LEVEL": "warning"}
    return {
        OURS: Contestant(OURS, [python, "-m", "services.alliance"], own),
        PLAIN: Contestant(PLAIN, [python, "-m", "bench.contestants.plain"], {}),
        "naive": Contestant("naive", [python, "-m", "bench.contestants.naive"], {}),
    }


async def main() -> int:
    there = contestants()
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--relationships", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--partitions", type=int, default=12, help="of each topic")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds of a lap, at most")
    parser.add_argument("--only", nargs="+", default=list(there), choices=list(there))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="attune-bench-") as room:
        stage = Stage(Path(room), Network(asked.relationships), asked.partitions, CACHE_GB)
        await stage.prepare()
        print(f"{stage.facts:,} facts of {asked.relationships:,} relationships wait", flush=True)
        laps: dict[str, list[Lap]] = {name: [] for name in asked.only}
        for number in range(asked.rounds):
            for name in asked.only[:: 1 if number % 2 == 0 else -1]:
                with stage.lap() as servers:
                    lap = await race.run(there[name], servers, Path(room) / f"{name}.log", asked.limit)
                laps[name].append(lap)
                print(_said(lap), flush=True)
    _summary(laps)
    return 0


def _said(lap: Lap) -> str:
    return (
        f"{lap.contestant:8} {lap.rate:7,.0f} events/s of {lap.events:,}; microseconds of processor time for each: "
        f"{lap.microseconds(lap.own):,.0f} its own, {lap.microseconds(lap.mongodb):,.0f} MongoDB, "
        f"{lap.microseconds(lap.kafka):,.0f} Kafka; {lap.memory / 2**20:.0f} MiB"
    )


def _summary(laps: dict[str, list[Lap]]) -> None:
    for name, run in laps.items():
        rates = sorted(lap.rate for lap in run)
        print(f"{name}: median {median(rates):,.0f} events/s ({rates[0]:,.0f} to {rates[-1]:,.0f})")
    if OURS in laps and PLAIN in laps:
        ratios = [ours.rate / plain.rate for ours, plain in zip(laps[OURS], laps[PLAIN], strict=True)]
        print(f"ratio_to_plain_loop={median(ratios):.2f}")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
