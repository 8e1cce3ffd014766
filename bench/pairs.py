"""What a change costs: this tree and another checkout of it, in turns on the same events.

Processor time per event, because machines are noisy, and the median of the pairs, because one pair says little. Each
tree handles the past weeks itself before it is measured: a state of other rules would have it fold each history again.
"""

import statistics
import sys
from functools import partial
from pathlib import Path

from bench import runner
from bench.benchmarks import Figures, Size, figures_of
from bench.runner import REPOSITORY, Implementation, RunResult
from bench.testbed import Servers, Testbed
from bench.workload import Network
from tools.sandbox.servers.process import RunError

MAX_LOSS = 0.05
"""The share of processor time per event that one change may cost."""
MAX_SECONDS = 3_600.0
"""Of a run: each tree handles all events, because a part of them would be another part for each."""


async def measure_pairs(work_dir: Path, size: Size, other_tree: Path) -> Figures:
    """Run both trees `size.rounds` times, alternately first; print each pair and the medians. Raises RunError."""
    trees = {"this": REPOSITORY, "other": other_tree}
    implementations = [_implementation(name, tree) for name, tree in trees.items()]
    testbeds = {tree.name: await _prepare(work_dir, size, tree) for tree in implementations}
    pairs: list[Figures] = []
    for round_number in range(size.rounds):
        pair: Figures = {}
        for tree in implementations[:: 1 if round_number % 2 == 0 else -1]:
            pair[tree.name] = await _measure(testbeds[tree.name], tree, work_dir)
        _require_same_events(pair)
        pairs.append(pair)
        print(f"  {_describe(pair, 'this')}; {_describe(pair, 'other')}", flush=True)
    return {"pairs": pairs, "median_loss": _report(pairs)}


def _implementation(name: str, tree: Path) -> Implementation:
    # Without -P the code of the working directory would come before that of the tree.
    command = [sys.executable, "-P", "-m", "services.alliance"]
    return Implementation(name, command, {"LOG_LEVEL": "warning", "PYTHONPATH": str(tree)})


async def _prepare(work_dir: Path, size: Size, tree: Implementation) -> Testbed:
    testbed = size.make_testbed(work_dir / tree.name, Network(size.relationships))
    await testbed.prepare_with(partial(_run, tree, work_dir))
    return testbed


async def _run(tree: Implementation, work_dir: Path, servers: Servers) -> RunResult:
    return await runner.run(tree, servers, work_dir / f"{tree.name}.log", MAX_SECONDS)


async def _measure(testbed: Testbed, tree: Implementation, work_dir: Path) -> Figures:
    with testbed.start_servers() as servers:
        result = await _run(tree, work_dir, servers)
        stored = runner.count_stored_events(servers)
    figures = figures_of(result)
    own, mongodb = figures["own"], figures["mongodb"]
    return {"events": result.events, "stored": stored, "own": own, "mongodb": mongodb, "sum": own + mongodb}


def _require_same_events(pair: Figures) -> None:
    this, other = pair["this"]["stored"], pair["other"]["stored"]
    if this != other:
        raise RunError(f"The trees cannot be compared: this one stored {this:,} events, the other one {other:,}.")


def _describe(pair: Figures, name: str) -> str:
    figures = pair[name]
    return (
        f"{name}: {figures['own']:,.0f} us own + {figures['mongodb']:,.0f} us MongoDB = {figures['sum']:,.0f} us "
        f"for each of {figures['events']:,} events"
    )


def _report(pairs: list[Figures]) -> float:
    """Print what this tree costs more than the other one; return the median for own and MongoDB's time together."""
    print(f"  processor time per event, {len(pairs)} pairs:")
    median_losses: dict[str, float] = {}
    for name in ("own", "mongodb", "sum"):
        losses = [pair["this"][name] / pair["other"][name] - 1 for pair in pairs]
        median_losses[name] = statistics.median(losses)
        print(f"  {name:8} median {median_losses[name]:+.1%}, from {min(losses):+.1%} to {max(losses):+.1%}")
    print(f"  at most {MAX_LOSS:+.0%} of the sum is allowed")
    return median_losses["sum"]
