"""What a change costs: this tree beside another checkout of it, in turns on the same bytes.

Processor time per event, because machines are noisy, and the median of the pairs, because one pair says little.
"""

import statistics
import sys
from pathlib import Path

from bench import runner
from bench.benchmarks import Figures, Size, figures_of
from bench.runner import REPOSITORY, Implementation
from bench.workload import Network

MAX_LOSS = 0.05
"""The share of processor time per event that one change may cost."""


async def measure_pairs(work_dir: Path, size: Size, other_tree: Path) -> Figures:
    """Run both trees `size.rounds` times, alternately first; print each pair and the medians. Raises RunError."""
    testbed = size.make_testbed(work_dir, Network(size.relationships))
    await testbed.prepare()
    trees = {"this": REPOSITORY, "other": other_tree}
    pairs: list[dict[str, float]] = []
    for round_number in range(size.rounds):
        pair: dict[str, float] = {}
        for name in list(trees)[:: 1 if round_number % 2 == 0 else -1]:
            with testbed.start_servers() as servers:
                result = await runner.run(
                    _implementation(name, trees[name]), servers, work_dir / f"{name}.log", size.run_seconds
                )
            figures = figures_of(result)
            pair |= {f"{name} own": figures["own"], f"{name} mongodb": figures["mongodb"]}
        pairs.append(pair)
        print("  " + ", ".join(f"{key} {value:,.0f} us" for key, value in sorted(pair.items())), flush=True)
    losses = [_total(pair, "this") / _total(pair, "other") - 1 for pair in pairs]
    median_loss = statistics.median(losses)
    print(f"  processor time per event, own and MongoDB's: median {median_loss:+.1%} over {len(pairs)} pairs")
    print(f"  from {min(losses):+.1%} to {max(losses):+.1%}; at most {MAX_LOSS:+.0%} is allowed")
    return {"pairs": pairs, "median_loss": median_loss}


def _total(pair: dict[str, float], name: str) -> float:
    return pair[f"{name} own"] + pair[f"{name} mongodb"]


def _implementation(name: str, tree: Path) -> Implementation:
    # Without -P the code of the working directory would come before that of the tree.
    command = [sys.executable, "-P", "-m", "services.alliance"]
    return Implementation(name, command, {"LOG_LEVEL": "warning", "PYTHONPATH": str(tree)})
