"""`python -m evaluation [--short]`: measure everything, print the tables and write docs/evaluation.md.

Exits with 1 if a bar is missed that `evaluation/declared_misses.toml` does not declare, with a reason.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluation import tables
from evaluation.bars import measure_bars
from evaluation.measured import Measured
from evaluation.published import compare
from evaluation.report import Report, write_report
from evaluation.results import run_everything
from evaluation.settings import FULL, SHORT, load_declared_misses
from evaluation.simulation.settings import load_settings
from evaluation.trial import OTHER_BASE_RATE, WorldTrial

REPORT = Path("docs/evaluation.md")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    parser.add_argument(
        "--short",
        action="store_true",
        help="fewer relationships and worlds: a bar counts as missed only if the interval rules it out; no report",
    )
    parser.add_argument("--report", type=Path, default=REPORT, help="path of the report")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    args = parser.parse_args()
    run, simulation, declared = SHORT if args.short else FULL, load_settings(), load_declared_misses()
    results = run_everything(simulation, run)
    bars = measure_bars(results)
    comparisons = [
        comparison
        for trial in results.trials
        for comparison in compare(trial.world, run.published_clients, OTHER_BASE_RATE, run.resamples, run.seed)
    ]
    report = Report(results, bars, comparisons, declared, run, simulation)
    print(tables.bars_table(bars, declared, args.short), tables.replaced_bars(bars), *report.sections[2:-1], sep="\n\n")
    if args.json:
        args.json.write_text(json.dumps(numbers(bars, results.trials), indent=2) + "\n", encoding="utf-8")
    if not args.short:
        write_report(report, args.report)
    undeclared = undeclared_misses(bars, declared, args.short)
    for bar in undeclared:
        print(f"Bar missed and not declared: {bar.key}: {bar.statement}")
    return 1 if undeclared else 0


def undeclared_misses(bars: Sequence[Measured], declared: dict[str, str], is_short: bool) -> list[Measured]:
    """The bars that are missed without a reason in the declared misses."""
    return [bar for bar in bars if not bar.is_met(is_short) and bar.key not in declared]


def numbers(bars: Sequence[Measured], trials: Sequence[WorldTrial]) -> dict[str, object]:
    """Every bar by its key, and what each method finds in each world, for comparing runs."""
    return {
        "bars": {
            bar.key: {"value": bar.value, "low": bar.interval[0], "high": bar.interval[1], "met": bar.is_met()}
            for bar in bars
        },
        "found": {
            trial.world.name: {name: float(trial.share_found(name)[0]) for name in trial.outcomes} for trial in trials
        },
        "falsely_messaged": {
            trial.world.name: {asking: float(trial.falsely_messaged(asking)[0]) for asking in trial.messages}
            for trial in trials
        },
    }


if __name__ == "__main__":
    sys.exit(main())
