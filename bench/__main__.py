"""`python -m bench`: run the benchmarks and write docs/performance.md."""

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
from bench.latency.benchmark import latency
from bench.pairs import MAX_LOSS, measure_pairs
from bench.registry import NAIVE, OURS, PLAIN
from bench.report.criteria import speed_ratio
from bench.report.report import RESULTS, write_report
from shared.errors import BrokerUnavailable
from tools.sandbox.servers.process import RunError
from tools.sandbox.servers.signals import interrupt_on_sigterm

FULL_SIZE = Size()
SHORT_SIZE = Size(relationships=8_000, rounds=2, run_seconds=10.0, slow_run_seconds=5.0)

Benchmark = Callable[[Path, Size], Awaitable[Figures]]
BENCHMARKS: dict[str, Benchmark] = {
    "comparison": benchmarks.compare,
    "profile": benchmarks.profile,
    "rebuild": benchmarks.rebuild,
    "growth": benchmarks.growth,
    "history": benchmarks.history,
    "processes": benchmarks.processes,
    "latency": latency,
}


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "benchmark", nargs="*", choices=[*BENCHMARKS, []], help="run only these benchmarks; all by default"
    )
    parser.add_argument(
        "--short",
        action="store_true",
        help="compare ours with the plain and the naive loop only; write no report",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="DIR",
        help="measure only what this tree costs compared with another checkout of it",
    )
    parser.add_argument("--relationships", type=int, default=FULL_SIZE.relationships)
    parser.add_argument("--rounds", type=int, default=FULL_SIZE.rounds)
    args = parser.parse_args()
    if args.short:
        return await _run_short()
    size = Size(args.relationships, args.rounds)
    if args.against is not None:
        return await _compare_with(args.against.absolute(), size)
    started_at, exit_code = time.monotonic(), 0
    for name in args.benchmark or BENCHMARKS:
        try:
            figures = await _run_benchmark(BENCHMARKS[name], name, size)
        except (RunError, BrokerUnavailable) as error:
            print(f"{name}: {error}", file=sys.stderr)
            exit_code = 1
        else:
            _save_figures(name, figures)
            write_report()
    print(f"docs/performance.md was written after {time.monotonic() - started_at:.0f} s")
    return exit_code


async def _compare_with(other_tree: Path, size: Size) -> int:
    try:
        figures = await _run_benchmark(partial(measure_pairs, other_tree=other_tree), "pairs", size)
    except (RunError, BrokerUnavailable) as error:
        print(f"pairs: {error}", file=sys.stderr)
        return 1
    return 1 if figures["median_loss"] > MAX_LOSS else 0


async def _run_benchmark(benchmark: Benchmark, name: str, size: Size) -> Figures:
    print(name, flush=True)
    with tempfile.TemporaryDirectory(prefix="attune-bench-") as work_dir:
        return await benchmark(Path(work_dir), size)


def _save_figures(name: str, figures: Figures) -> None:
    """Store the figures of one benchmark; those of the others stay."""
    RESULTS.parent.mkdir(exist_ok=True)
    results: Figures = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[name] = {"on": f"{datetime.now(UTC):%Y-%m-%d}", **figures}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


async def _run_short() -> int:
    figures = await _run_benchmark(partial(benchmarks.compare, names=(OURS, PLAIN, NAIVE)), "comparison", SHORT_SIZE)
    print(f"ratio_to_plain_loop={speed_ratio(figures, PLAIN):.2f}")
    print(f"ratio_to_naive_loop={speed_ratio(figures, NAIVE):.2f}")
    return 0


if __name__ == "__main__":
    interrupt_on_sigterm()
    sys.exit(asyncio.run(main()))
