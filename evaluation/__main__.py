"""`python -m evaluation [--short]`: evaluate all methods, print the tables and write docs/evaluation.md.

Exits with 1 if a criterion is missed and the settings do not declare that, with a reason.
"""

import argparse
import sys
from pathlib import Path

from evaluation import report, tables
from evaluation.criteria import evaluate_criteria
from evaluation.settings import DEFAULT_PATH, load_settings
from evaluation.trial import WorldResult, foreign_prior_losses, run_world

REPORT = Path("docs/evaluation.md")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    parser.add_argument(
        "--short",
        action="store_true",
        help="use fewer relationships: a criterion counts as missed only if the interval rules it out; write no report",
    )
    parser.add_argument("--worlds", type=Path, default=DEFAULT_PATH, help="path of the settings")
    parser.add_argument("--report", type=Path, default=REPORT, help="path of the report")
    args = parser.parse_args()
    evaluation = load_settings(args.worlds)
    run = evaluation.run
    count = run.relationships_short if args.short else run.relationships
    results: list[WorldResult] = []
    for world in evaluation.worlds:
        print(f"{len(results) + 1} of {len(evaluation.worlds)}: {world.title}", file=sys.stderr, flush=True)
        results.append(run_world(world, run, count))
    counting_results = [result for result in results if result.world.counts_for_criteria]
    criteria = evaluate_criteria(results, foreign_prior_losses(counting_results, run), is_strict=not args.short)
    print(
        tables.methods_table(results, run),
        tables.worlds_table(results),
        tables.criteria_table(criteria, evaluation.declared_misses),
        sep="\n\n",
    )
    if not args.short:
        report.write_report(results, criteria, evaluation, count, args.report)
    undeclared = tables.undeclared_misses(criteria, evaluation)
    print(
        *[f"Criterion missed and not declared: {criterion.statement}" for criterion in undeclared],
        sep="\n",
        end="\n" if undeclared else "",
    )
    return 1 if undeclared else 0


if __name__ == "__main__":
    sys.exit(main())
