"""Where the time of one event goes, before and after the optimizations."""

import json
from collections.abc import Mapping

from bench.benchmarks import Figures
from bench.registry import PLAIN
from bench.report.criteria import MIN_SPEED_RATIOS, speed_ratio
from bench.report.markdown import markdown_table
from bench.runner import REPOSITORY

BEFORE_TUNING = json.loads((REPOSITORY / "bench" / "before_tuning.json").read_text())


def profile_section(results: Figures) -> str:
    figures = results["profile"]
    explanation = _explain_missed_criterion(figures["shares"], results.get("comparison"))
    now, before = figures["shares"], BEFORE_TUNING["shares"]
    microseconds_now, microseconds_before = figures["run"]["own"], BEFORE_TUNING["own"]
    stages = sorted(dict.fromkeys([*now, *before]), key=lambda stage: -now.get(stage, 0.0))
    rows = [
        (
            stage,
            f"{before.get(stage, 0.0):.1%}",
            f"{microseconds_before * before.get(stage, 0.0):.0f}",
            f"{now.get(stage, 0.0):.1%}",
            f"{microseconds_now * now.get(stage, 0.0):.0f}",
        )
        for stage in stages
    ]
    rows.append(("total", "", f"{microseconds_before:.0f}", "", f"{microseconds_now:.0f}"))
    return f"""\
## Where the microseconds of one event go

{figures["samples"]:,} samples of the alliance service at work (py-spy, {figures["run"]["events"]:,} events), before and
after the optimizations. Waiting is left out, and the costs of a batch are spread over its events. "Before" was measured
on another day with other load (`bench/before_tuning.json`), so compare the shares.{explanation}

{markdown_table(("stage", "before", "µs", "after", "µs"), rows)}

![Flame graph](performance/flame.svg)"""


def _explain_missed_criterion(shares: Mapping[str, float], comparison: Figures | None) -> str:
    """What the profile says about a missed speed criterion; empty if it is met."""
    if comparison is None or speed_ratio(comparison, PLAIN) >= MIN_SPEED_RATIOS[PLAIN]:
        return ""
    shared_stages = ("fold", "derive events", "state from JSON", "state to JSON", "decode and validate", "encode")
    share = sum(shares.get(stage, 0.0) for stage in shared_stages)
    return (
        f" It shows why ours is not faster relative to the plain loop: {100 * share:.0f}% of the time is spent in code "
        "that both run, the fold and the JSON of events and states. What ours does differently (cached states, one "
        "transaction, parts of a batch in parallel) can only gain in the rest and in the waiting for MongoDB."
    )
