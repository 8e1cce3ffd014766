"""Values with their intervals and bars, and how they are averaged over worlds.

A floor is met when the lower end of the interval is at most 3 points below it, a ceiling when the upper end is at most
3 points above it, a range when both hold. Ratios and Brier skills are met by their value; the interval is printed. In
a short run, a bar is missed only if the interval rules it out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from evaluation.adaptation import Repeat
from evaluation.long_run import LongRun
from evaluation.measures import Estimate, interval, ratio
from evaluation.reliability import Reliability
from evaluation.settings import UNASKED
from evaluation.simulation.truth import BoolArray
from evaluation.trial import WorldTrial

MARGIN = 0.03  # points by which an interval may reach beyond a bar

Unit = Literal["%", "points", "times", "skill"]


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that was measured."""

    trials: Sequence[WorldTrial]
    long_runs: Sequence[LongRun]
    reliabilities: dict[tuple[str, str, float], Reliability]
    """By world, asking and base rate."""
    repeats: Sequence[Repeat]
    resamples: int
    seed: int
    skills: dict[tuple[str, str, float], dict[str, Estimate]] = field(default_factory=dict)
    """By world, asking and base rate: the Brier skill of both oracles and of Attune, on the same relationships."""

    @property
    def with_effects(self) -> list[WorldTrial]:
        return [trial for trial in self.trials if trial.world.has_effects]


@dataclass(frozen=True, slots=True)
class Measured:
    """A bar, what was measured, and its interval."""

    key: str
    statement: str
    estimate: Estimate
    floor: float = -np.inf
    ceiling: float = np.inf
    unit: Unit = "%"
    note: str = ""
    """What explains the value: of which world it is, or what an oracle reaches."""
    replaced: str = ""
    """Which bar this one replaces, and why."""

    @property
    def has_bar(self) -> bool:
        """Without one, the value is for comparison only."""
        return not (np.isinf(self.floor) and np.isinf(self.ceiling))

    @property
    def value(self) -> float:
        return float(self.estimate[0])

    @property
    def interval(self) -> tuple[float, float]:
        return interval(self.estimate)

    def is_met(self, is_short: bool = False) -> bool:
        low, high = self.interval
        if is_short:
            return not (high < self.floor or low > self.ceiling)
        if self.unit in ("times", "skill"):
            return self.floor <= self.value <= self.ceiling
        return low >= self.floor - MARGIN and high <= self.ceiling + MARGIN


def mean(estimates: Iterable[Estimate]) -> Estimate:
    """The mean over worlds, leaving out those where it is not defined."""
    stacked = np.stack(list(estimates))
    is_defined = ~np.isnan(stacked)
    return ratio(np.where(is_defined, stacked, 0).sum(axis=0), 1.0 * is_defined.sum(axis=0))


def share_of(
    trials: Sequence[WorldTrial], method: str, other: str, members: Callable[[WorldTrial], BoolArray]
) -> Estimate:
    """What a method finds, as a share of what another finds: the means over worlds divided.

    Of the relationships that both were tried on.
    """

    def found(name: str) -> Estimate:
        return mean(trial.share_found(name, members(trial) & trial.is_tried(method, other)) for trial in trials)

    return ratio(found(method), found(other))


def worst(estimates: Mapping[str, Estimate], of: Callable[[Sequence[float]], int]) -> tuple[str, Estimate]:
    """The name and the estimate of the worst, by the values of the samples themselves."""
    names = [name for name, estimate in estimates.items() if not np.isnan(estimate[0])]
    name = names[of([float(estimates[name][0]) for name in names])]
    return name, estimates[name]


def lowest(values: Sequence[float]) -> int:
    return int(np.argmin(values))


def highest(values: Sequence[float]) -> int:
    return int(np.argmax(values))


def of_asking(asking: str) -> str:
    return asking if asking == UNASKED else f"{asking} answers"
