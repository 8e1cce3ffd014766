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
    asked = parser.parse_args()
    evaluation = load(asked.worlds)
    run = evaluation.run
    count = run.relationships_short if asked.short else run.relationships
    worlds: list[World] = []
    for place in evaluation.places:
        print(f"{len(worlds) + 1} of {len(evaluation.places)}: {place.title}", file=sys.stderr, flush=True)
        worlds.append(run_world(place, run, count))
    counting = [world for world in worlds if world.place.counts]
    judged = judge(worlds, with_foreign_prior(counting, run), strictly=not asked.short)
    print(tables.methods(worlds, run), tables.by_world(worlds), tables.bars(judged, evaluation.missed), sep="\n\n")
    if not asked.short:
        report.write(worlds, judged, evaluation, count, asked.report)
    missed = tables.undeclared(judged, evaluation)
    print(*[f"missed, and not declared: {bar.says}" for bar in missed], sep="\n", end="\n" if missed else "")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
