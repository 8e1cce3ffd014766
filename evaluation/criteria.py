"""What has to be reached, and whether it is.

Shares are averages over the worlds that count; intervals hold nineteen of twenty bootstrap resamples, which are the
same for all methods and include the uncertainty of every threshold.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evaluation.relationships import Numbers
from evaluation.trial import ALL, CHARTS, DIRECT, ORACLE, OWN_MEAN, PRODUCTS, TOTAL, World

Share = Callable[[str, bool], Numbers]
"""The share of ruptures a method finds: of V, step and slide, or of all kinds; several at once for resamples."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One thing that has to be so."""

    key: str
    says: str
    value: float
    low: float
    high: float
    reached: bool
    percent: bool = False


@dataclass(frozen=True, slots=True)
class _Wanted:
    key: str
    says: str
    value: Callable[[Share], Numbers]
    at_least: float
    low_above: float = -np.inf
    percent: bool = True


WANTED = (
    _Wanted(
        "limit_total",
        "The total alone finds at least 70% of what the oracle finds",
        lambda s: s(TOTAL, True) / s(ORACLE, True),
        0.70,
    ),
    _Wanted(
        "limit_all",
        "All signals find at least 75% of what the oracle finds (80% is the ambition)",
        lambda s: s(ALL, True) / s(ORACLE, True),
        0.75,
    ),
    _Wanted(
        "limit_direct",
        "With the direct question more is found than by the oracle of ratings alone",
        lambda s: s(DIRECT, True) / s(ORACLE, True),
        1.0,
    ),
    _Wanted(
        "total_against_rules",
        "The total alone finds at least 15% more than the best of today's rules and of the charts on the own spread",
        lambda s: s(TOTAL, True) / _best(s) - 1,
        0.15,
    ),
    _Wanted(
        "total_against_own_mean",
        "The total alone is not more than 3 points below the own mean in points",
        lambda s: s(TOTAL, True) - s(OWN_MEAN, True),
        -0.03,
        percent=False,
    ),
    _Wanted(
        "all_against_rules",
        "All signals find at least 30% more than the best of today's rules and of the charts",
        lambda s: s(ALL, True) / _best(s) - 1,
        0.30,
    ),
    _Wanted(
        "all_against_own_mean",
        "All signals find at least 5% more than the own mean in points",
        lambda s: s(ALL, True) / s(OWN_MEAN, True) - 1,
        0.05,
    ),
    _Wanted(
        "all_against_total",
        "All signals find at least 4 points more than the total alone over all kinds, 2 at the least",
        lambda s: s(ALL, False) - s(TOTAL, False),
        0.04,
        low_above=0.02,
        percent=False,
    ),
    _Wanted(
        "all_against_total_whole",
        "All signals find no less than the total alone of V, step and slide",
        lambda s: s(ALL, True) - s(TOTAL, True),
        0.0,
        percent=False,
    ),
)
BUDGET_KEPT = (0.16, 0.24)
FOREIGN_PRIOR = {TOTAL: 0.03, ALL: 0.05}


def judge(results: list[World], foreign_prior_losses: dict[str, float], strictly: bool) -> list[Bar]:
    """Every bar, over the worlds that count; not `strictly`, only what the interval rules out is missed."""
    counting_results = [result for result in results if result.place.counts]
    criterion_results = [_judged(criterion, counting_results, strictly) for criterion in WANTED]
    for method in (TOTAL, ALL, DIRECT):
        share = float(np.mean([result.found[method].false_share for result in counting_results]))
        statement = f"Of unseen stable relationships 16 to 24% are falsely alarmed: {method}"
        is_met = BUDGET_KEPT[0] <= share <= BUDGET_KEPT[1]
        criterion_results.append(Bar(f"budget: {method}", statement, share, share, share, is_met, percent=True))
    for method, max_loss in FOREIGN_PRIOR.items():
        statement = f"With a prior from another world at most {100 * max_loss:.0f} points are lost: {method}"
        criterion_results.append(
            Bar(
                f"foreign prior: {method}",
                statement,
                foreign_prior_losses[method],
                foreign_prior_losses[method],
                foreign_prior_losses[method],
                foreign_prior_losses[method] <= max_loss,
            )
        )
    return criterion_results


def averaged(results: list[World], name: str, whole: bool) -> tuple[float, Numbers]:
    """The share that a method finds, and the same in every resample."""
    bootstraps = [(result.boot_whole if whole else result.boot_all)[name] for result in results]
    return float(np.mean([result.share(name, whole) for result in results])), np.mean(bootstraps, axis=0)


def interval(bootstrap: Numbers) -> tuple[float, float]:
    low, high = np.quantile(bootstrap, [0.025, 0.975])
    return float(low), float(high)


def _judged(criterion: _Wanted, results: list[World], strictly: bool) -> Bar:
    value = float(
        criterion.value(lambda method, only_total_visible: np.array(averaged(results, method, only_total_visible)[0]))
    )
    low, high = interval(
        criterion.value(lambda method, only_total_visible: averaged(results, method, only_total_visible)[1])
    )
    is_met = (value if strictly else high) >= criterion.at_least and low > criterion.low_above
    return Bar(criterion.key, criterion.says, value, low, high, is_met, criterion.percent)


def _best(share: Share) -> Numbers:
    return np.max([share(method, True) for method in (*PRODUCTS, *CHARTS)], axis=0)
