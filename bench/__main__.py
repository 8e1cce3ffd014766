"""`python -m bench`: what our guarantees cost, and where the limit is, written into docs/performance.md."""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import benchmarks
from bench.benchmarks import Figures, Size
from bench.latency import latency
from bench.registry import NAIVE, OURS, PLAIN
from bench.report import RESULTS, against, write
from shared.errors import BrokerUnavailable
from tools.sandbox.servers.process import CannotRun
from tools.sandbox.servers.signals import end_on_sigterm

WHOLE = Size()
SHORT = Size(relationships=8_000, rounds=2, seconds=10.0, slow_seconds=5.0)

Part = Callable[[Path, Size], Awaitable[Figures]]
PARTS: dict[str, Part] = {
    "side by side": benchmarks.side_by_side,
    "profile": benchmarks.profile,
    "rebuild": benchmarks.rebuilding,
    "growth": benchmarks.growth,
    "history": benchmarks.history,
    "processes": benchmarks.processes,
    "latency": latency,
}


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], help="only these; all where none is named")
    parser.add_argument("--short", action="store_true", help="ours, the plain and the naive loop; written nowhere")
    parser.add_argument("--relationships", type=int, default=WHOLE.relationships)
    parser.add_argument("--rounds", type=int, default=WHOLE.rounds)
    args = parser.parse_args()
    if args.short:
        return await _short()
    size = Size(args.relationships, args.rounds)
    started_at, exit_code = time.monotonic(), 0
    for name in args.part or PARTS:
        try:
            figures = await _measured(PARTS[name], name, size)
        except (CannotRun, BrokerUnavailable) as error:
            print(f"{name}: {error}", file=sys.stderr)
            exit_code = 1
        else:
            _keep(name, figures)
            write()
    print(f"docs/performance.md is written, after {time.monotonic() - started_at:.0f} s")
    return exit_code


async def _measured(benchmark: Part, name: str, size: Size) -> Figures:
    print(name, flush=True)
    with tempfile.TemporaryDirectory(prefix="attune-bench-") as work_dir:
        return await benchmark(Path(work_dir), size)


def _keep(name: str, figures: Figures) -> None:
    """Beside what was measured of the other parts."""
    RESULTS.parent.mkdir(exist_ok=True)
    results: Figures = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[name] = {"on": f"{datetime.now(UTC):%Y-%m-%d}", **figures}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


async def _short() -> int:
    figures = await _measured(partial(benchmarks.side_by_side, names=(OURS, PLAIN, NAIVE)), "side by side", SHORT)
    print(f"ratio_to_plain_loop={against(figures, PLAIN):.2f}")
    print(f"ratio_to_naive_loop={against(figures, NAIVE):.2f}")
    return 0


if __name__ == "__main__":
    end_on_sigterm()
    sys.exit(asyncio.run(main()))
