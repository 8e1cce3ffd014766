"""The bars: what Attune has to reach, and whether it does.

A floor is met when the lower end of the interval is at most 3 points below it, a ceiling when the upper end is at most
3 points above it, a range when both hold. Ratios and Brier skills are met by their value; the interval is printed. In
a short run, a bar is missed only if the interval rules it out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evaluation import alerting, long_run
from evaluation.adaptation import Repeat
from evaluation.attune import SHIPPED_BASE_RATE, URGENT
from evaluation.long_run import LongRun
from evaluation.measures import Estimate, Resamples, interval, ratio
from evaluation.methods import OWN_MEAN
from evaluation.reliability import Reliability
from evaluation.settings import ASKED_LAWS, ASKINGS, UNASKED
from evaluation.simulation.settings import KINDS
from evaluation.simulation.truth import BoolArray
from evaluation.trial import ATTUNE, ORACLE, OTHER_BASE_RATE, PREVIOUS, WorldTrial, asked

MARGIN = 0.03  # points by which an interval may reach beyond a bar
URGENT_BASE_RATE = 0.15
MIN_REPEATS = 10  # fewer do not show whether nine in ten are within a range
RARELY_MISSING = 0.10  # of a client's forms: "usually complete"

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
    """Where the value is the worst of several: of which."""

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
    """What a method finds, as a share of what another finds: the means over worlds divided."""
    found, of = (mean(trial.share_found(name, members(trial)) for trial in trials) for name in (method, other))
    return ratio(found, of)


def worst(estimates: Mapping[str, Estimate], of: Callable[[Sequence[float]], int]) -> tuple[str, Estimate]:
    """The name and the estimate of the worst, by the values of the samples themselves."""
    names = [name for name, estimate in estimates.items() if not np.isnan(estimate[0])]
    name = names[of([float(estimates[name][0]) for name in names])]
    return name, estimates[name]


def _lowest(values: Sequence[float]) -> int:
    return int(np.argmin(values))


def _highest(values: Sequence[float]) -> int:
    return int(np.argmax(values))


def oracle_share(results: Results) -> list[Measured]:
    estimate = share_of(results.trials, ATTUNE, ORACLE, lambda trial: trial.is_whole)
    return [Measured("oracle", "All signals, share of the oracle that knows everything", estimate, floor=0.78)]


def oracle_share_asked(results: Results) -> list[Measured]:
    return [
        Measured(
            f"oracle-{law}",
            f"With the question, share of the same oracle: {law} answers",
            share_of(results.trials, asked(ATTUNE, law), ORACLE, lambda trial: trial.is_whole),
            floor=0.95,
        )
        for law in ASKED_LAWS
    ]


def against_previous(results: Results) -> list[Measured]:
    gains = {
        trial.world.title: trial.share_found(ATTUNE) - trial.share_found(PREVIOUS) for trial in results.with_effects
    }
    name, lowest = worst(gains, _lowest)
    statement = "All kinds, against the previous model"
    return [
        Measured("previous", f"{statement}: mean", mean(gains.values()), floor=0.025, unit="points"),
        Measured("previous-world", f"{statement}: lowest world", lowest, floor=-0.01, unit="points", note=name),
    ]


def elements(results: Results) -> list[Measured]:
    kind = KINDS.index("elements")
    estimate = share_of(results.trials, ATTUNE, PREVIOUS, lambda trial: trial.samples.ruptured.truth.kind == kind)
    return [Measured("elements", "Elements, against the previous model", estimate, floor=1.6, unit="times")]


def withdrawal(results: Results) -> list[Measured]:
    found, members = np.zeros(results.resamples + 1), np.zeros(results.resamples + 1)
    for trial in results.with_effects:
        truth, resamples = trial.samples.ruptured.truth, trial.resamples.ruptured
        is_member = (truth.kind == KINDS.index("withdrawal")) & (truth.clients.missing_rate < RARELY_MISSING)
        found = found + resamples.sum(trial.outcomes[ATTUNE].found * is_member)
        members = members + resamples.sum(is_member)
    statement = "Withdrawal where forms are usually complete"
    return [Measured("withdrawal", statement, ratio(found, members), floor=0.25)]


def falsely_alarmed(results: Results) -> list[Measured]:
    measured = []
    for asking in ASKINGS:
        shares = {trial.world.title: trial.falsely_messaged(asking) for trial in results.trials}
        name, highest = worst(shares, _highest)
        statement = f"Falsely alarmed in 16 sessions, shipped default, {of_asking(asking)}"
        measured += [
            Measured(f"false-{asking}", f"{statement}: mean", mean(shares.values()), floor=0.17, ceiling=0.23),
            Measured(f"false-world-{asking}", f"{statement}: highest world", highest, ceiling=0.30, note=name),
        ]
    return measured


def adapted(results: Results) -> list[Measured]:
    shares = np.array([repeat.adapted for repeat in results.repeats])
    resamples = Resamples.draw(len(shares), results.resamples, results.seed)
    statement = "The same after 200 relationships of history"
    average = Measured("adapted", f"{statement}: mean", resamples.share(shares), floor=0.18, ceiling=0.22)
    if len(shares) < MIN_REPEATS:
        return [average]
    is_in_range = resamples.share((shares >= 0.14) & (shares <= 0.26))
    return [average, Measured("adapted-repeats", f"{statement}: repeats within 14 to 26%", is_in_range, floor=0.90)]


def steady_false_rate(results: Results) -> list[Measured]:
    rates = [long_run.false_message_rates(run.stable) for run in results.long_runs]
    early, late = (mean(estimates) for estimates in zip(*rates, strict=True))
    statement = "False messages per appointment after session 16, against sessions 2 to 16"
    return [Measured("steady", statement, ratio(late, early), ceiling=1.2, unit="times")]


def stuck(results: Results) -> list[Measured]:
    """Of shifts downwards: one upwards hides nothing."""
    stuck_shares, losses = [], []
    for run in results.long_runs:
        is_downward = run.shift.relationships.truth.course.shift_points < 0
        stuck_shares.append(run.shift.resamples.share(long_run.is_stuck(run.shift), is_downward))
        is_downward = run.shift_and_rupture.relationships.truth.course.shift_points < 0
        messaged, of_twin = (long_run.is_messaged(twin).astype(float) for twin in (run.shift_and_rupture, run.rupture))
        losses.append(run.rupture.resamples.share(messaged - of_twin, is_downward))
    return [
        Measured("stuck", "Stuck twelve weeks after a level shift downwards", mean(stuck_shares), ceiling=0.03),
        Measured(
            "after-shift",
            "A deep rupture after it is messaged, against the same without the shift",
            mean(losses),
            floor=-0.03,
            unit="points",
        ),
    ]


def calibration(results: Results) -> list[Measured]:
    measured = []
    for base_rate in (SHIPPED_BASE_RATE, OTHER_BASE_RATE):
        of_base_rate = {
            f"{world}, {of_asking(asking)}": reliability
            for (world, asking, rate), reliability in results.reliabilities.items()
            if rate == base_rate
        }
        name, skill = worst({key: value.brier_skill for key, value in of_base_rate.items()}, _lowest)
        where = f"at a base rate of {100 * base_rate:.0f}%"
        statement = f"Brier skill {where}: lowest world and way of asking"
        measured.append(Measured(f"brier-{base_rate}", statement, skill, floor=0.15, unit="skill", note=name))
        gaps = {key: gap for key, value in of_base_rate.items() if (gap := value.worst_gap) is not None}
        if gaps:
            name, gap = worst(gaps, _highest)
            statement = f"What is said above .5, and what is so, {where}: largest distance"
            measured.append(Measured(f"bins-{base_rate}", statement, gap, ceiling=0.10, unit="points", note=name))
    return measured


def urgent(results: Results) -> list[Measured]:
    measured = []
    for law in ASKED_LAWS:
        alerts = [(trial, alerting.alerts_of(trial, law, URGENT)) for trial in results.trials]
        right = mean(alerting.precision(trial, of_trial, URGENT_BASE_RATE) for trial, of_trial in alerts)
        reached = mean(alerting.share_of_deep_reached(trial, of_trial) for trial, of_trial in alerts)
        statement = f"Urgent at a 15% base rate, {law} answers"
        measured += [
            Measured(f"urgent-right-{law}", f"{statement}: precision", right, floor=0.40),
            Measured(f"urgent-deep-{law}", f"{statement}: ruptures of 3 spreads or more reached", reached, floor=0.50),
        ]
    return measured


def early_onset(results: Results) -> list[Measured]:
    def is_early(trial: WorldTrial) -> BoolArray:
        onset = trial.samples.ruptured.truth.onset_session
        return np.asarray((onset >= 1) & (onset <= 3))

    gains = [
        trial.share_found(ATTUNE, is_early(trial)) - trial.share_found(OWN_MEAN, is_early(trial))
        for trial in results.trials
    ]
    statement = "Onset in sessions 2 to 4, against the own mean in points"
    return [Measured("early", statement, mean(gains), floor=0.0, unit="points")]


BARS: tuple[Callable[[Results], list[Measured]], ...] = (
    oracle_share,
    oracle_share_asked,
    against_previous,
    elements,
    withdrawal,
    falsely_alarmed,
    adapted,
    steady_false_rate,
    stuck,
    calibration,
    urgent,
    early_onset,
)


def measure_bars(results: Results) -> list[Measured]:
    return [measured for bar in BARS for measured in bar(results)]


def of_asking(asking: str) -> str:
    return asking if asking == UNASKED else f"{asking} answers"
