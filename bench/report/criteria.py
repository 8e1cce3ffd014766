"""The criteria that the measured speed must meet."""

from collections.abc import Iterator
from statistics import median

from bench.benchmarks import Figures
from bench.registry import BYTEWAX, FAUST, NAIVE, OURS, PER_MESSAGE, PLAIN, QUIX
from bench.report.markdown import markdown_table

MIN_SPEED_RATIOS = {PLAIN: 1.2, NAIVE: 30.0, PER_MESSAGE: 1.0, QUIX: 1.0, FAUST: 1.0, BYTEWAX: 1.0}
MIN_REBUILD_RATIO = 3.0  # as fast as live
MAX_GROWTH = 0.2
GROWN_RELATIONSHIPS = 1_000_000
MAX_ALERT_P99_MS = 1_000.0

Criterion = tuple[str, str, bool | None]
"""The criterion, what was measured, and whether it is met; None if that was not measured."""


def speed_ratio(figures: Figures, implementation: str) -> float:
    """How many times as fast ours is: the median over the rounds that both ran."""
    runs = figures["runs"]
    return median(
        float(our_run["rate"] / their_run["rate"])
        for our_run, their_run in zip(runs[OURS], runs[implementation], strict=False)
    )


def microseconds_per_event(figures: Figures) -> float:
    """The CPU time of all processes together."""
    return float(figures["own"] + figures["mongodb"] + figures["kafka"])


def criteria_table(results: Figures) -> str:
    """Every criterion with what was measured, and whether it is met."""
    criteria = [
        *_speed_criteria(results),
        *_rebuild_criteria(results),
        _growth_criterion(results),
        _latency_criterion(results),
    ]
    rows = [(criterion, measured, _met_text(is_met)) for criterion, measured, is_met in criteria]
    return markdown_table(("criterion", "measured", "met"), rows)


def _met_text(is_met: bool | None) -> str:
    return "not measured" if is_met is None else "yes" if is_met else "**no**"


def _speed_criteria(results: Figures) -> Iterator[Criterion]:
    comparison = results.get("comparison")
    for implementation, min_ratio in MIN_SPEED_RATIOS.items():
        faster = "faster than" if min_ratio == 1 else f"{min_ratio:g} times as fast as"
        criterion = f"{faster} {implementation}"
        if comparison and implementation in comparison["runs"]:
            ratio = speed_ratio(comparison, implementation)
            yield criterion, f"{ratio:.2f} times", ratio >= min_ratio
        else:
            yield criterion, "", None


def _rebuild_criteria(results: Figures) -> Iterator[Criterion]:
    rebuild = results.get("rebuild")
    for database, article in (("correct database", "a"), ("empty database", "an")):
        criterion = f"a rebuild {MIN_REBUILD_RATIO:g} times as fast as live, with {article} {database}"
        if rebuild:
            ratio_to_live = rebuild[database]["rate"] / rebuild["live"]["rate"]
            yield criterion, f"{ratio_to_live:.2f} times", ratio_to_live >= MIN_REBUILD_RATIO
        else:
            yield criterion, "", None


def _growth_criterion(results: Figures) -> Criterion:
    criterion = f"an event costs at most {MAX_GROWTH:.0%} more with {GROWN_RELATIONSHIPS:,} relationships"
    if "growth" not in results:
        return criterion, "", None
    costs = {int(n): microseconds_per_event(figures) for n, figures in results["growth"].items() if n.isdigit()}
    largest, (first, second, *_) = max(costs), sorted(costs)
    growth, growth_from_second = (
        max(costs[n] for n in costs if n >= smallest) / costs[smallest] - 1 for smallest in (first, second)
    )
    measured = f"{100 * growth:+.0f}% from {first:,} to {largest:,}, {100 * growth_from_second:+.0f}% from {second:,}"
    is_large_enough = largest >= GROWN_RELATIONSHIPS  # fewer relationships can only show a miss
    return criterion, measured, growth <= MAX_GROWTH and (is_large_enough or None)


def _latency_criterion(results: Figures) -> Criterion:
    criterion = "at half of the capacity, 99 of 100 alerts are in the inbox within a second"
    if "latency" not in results:
        return criterion, "", None
    p99_ms = next(step["p99"] for step in results["latency"]["steps"] if step["share"] == 0.5)
    return criterion, f"{p99_ms:,.0f} ms", p99_ms < MAX_ALERT_P99_MS
