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


def judge(worlds: list[World], foreign: dict[str, float], strictly: bool) -> list[Bar]:
    """Every bar, over the worlds that count; not `strictly`, only what the interval rules out is missed."""
    counting = [world for world in worlds if world.place.counts]
    bars = [_judged(wanted, counting, strictly) for wanted in WANTED]
    for name in (TOTAL, ALL, DIRECT):
        share = float(np.mean([world.found[name].false_share for world in counting]))
        says = f"Of unseen stable relationships 16 to 24% are falsely alarmed: {name}"
        kept = BUDGET_KEPT[0] <= share <= BUDGET_KEPT[1]
        bars.append(Bar(f"budget: {name}", says, share, share, share, kept, percent=True))
    for name, most in FOREIGN_PRIOR.items():
        says = f"With a prior from another world at most {100 * most:.0f} points are lost: {name}"
        bars.append(
            Bar(f"foreign prior: {name}", says, foreign[name], foreign[name], foreign[name], foreign[name] <= most)
        )
    return bars


def averaged(worlds: list[World], name: str, whole: bool) -> tuple[float, Numbers]:
    """The share that a method finds, and the same in every resample."""
    boots = [(world.boot_whole if whole else world.boot_all)[name] for world in worlds]
    return float(np.mean([world.share(name, whole) for world in worlds])), np.mean(boots, axis=0)


def interval(resampled: Numbers) -> tuple[float, float]:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(low), float(high)


def _judged(wanted: _Wanted, worlds: list[World], strictly: bool) -> Bar:
    value = float(wanted.value(lambda name, whole: np.array(averaged(worlds, name, whole)[0])))
    low, high = interval(wanted.value(lambda name, whole: averaged(worlds, name, whole)[1]))
    reached = (value if strictly else high) >= wanted.at_least and low > wanted.low_above
    return Bar(wanted.key, wanted.says, value, low, high, reached, wanted.percent)


def _best(share: Share) -> Numbers:
    return np.max([share(name, True) for name in (*PRODUCTS, *CHARTS)], axis=0)
