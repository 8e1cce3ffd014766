"""`python -m evaluation [--short]`: the proof, printed and written to docs/evaluation.md.

Exits with 1 when a bar is missed that is not declared, with its reason, in the settings.
"""

import argparse
import sys
from pathlib import Path

from evaluation import report, tables
from evaluation.criteria import judge
from evaluation.settings import SHIPPED, load
from evaluation.trial import World, run_world, with_foreign_prior

REPORT = Path("docs/evaluation.md")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    parser.add_argument(
        "--short",
        action="store_true",
        help="fewer relationships: missed is what the interval rules out, and nothing is written",
    )
    parser.add_argument("--worlds", type=Path, default=SHIPPED, help="the settings")
    parser.add_argument("--report", type=Path, default=REPORT, help="where the report is written")
    args = parser.parse_args()
    evaluation = load(args.worlds)
    run = evaluation.run
    count = run.relationships_short if args.short else run.relationships
    results: list[World] = []
    for world in evaluation.places:
        print(f"{len(results) + 1} of {len(evaluation.places)}: {world.title}", file=sys.stderr, flush=True)
        results.append(run_world(world, run, count))
    counting_results = [result for result in results if result.place.counts]
    criteria = judge(results, with_foreign_prior(counting_results, run), strictly=not args.short)
    print(tables.methods(results, run), tables.by_world(results), tables.bars(criteria, evaluation.missed), sep="\n\n")
    if not args.short:
        report.write(results, criteria, evaluation, count, args.report)
    undeclared = tables.undeclared(criteria, evaluation)
    print(
        *[f"missed, and not declared: {criterion.says}" for criterion in undeclared],
        sep="\n",
        end="\n" if undeclared else "",
    )
    return 1 if undeclared else 0


if __name__ == "__main__":
    sys.exit(main())
