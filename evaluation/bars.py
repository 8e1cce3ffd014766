"""The bars: what Attune has to reach, and whether it does."""

from collections.abc import Callable

import numpy as np

from evaluation import long_run
from evaluation.measured import Measured, Results, highest, lowest, mean, of_asking, share_of, worst
from evaluation.measures import Resamples, ratio
from evaluation.methods import OWN_MEAN
from evaluation.oracle_bars import calibration, oracle_share, oracle_share_asked, urgent
from evaluation.settings import ASKINGS
from evaluation.simulation.settings import KINDS
from evaluation.simulation.truth import BoolArray
from evaluation.trial import ATTUNE, PREVIOUS, WorldTrial

MIN_REPEATS = 10  # fewer show neither the mean nor whether nine in ten are within a range
RARELY_MISSING = 0.10  # of a client's forms: "usually complete"


def against_previous(results: Results) -> list[Measured]:
    gains = {
        trial.world.title: trial.share_found(ATTUNE) - trial.share_found(PREVIOUS) for trial in results.with_effects
    }
    name, gain = worst(gains, lowest)
    statement = "All kinds, against the previous model"
    return [
        Measured("previous", f"{statement}: mean", mean(gains.values()), floor=0.025, unit="points"),
        Measured("previous-world", f"{statement}: lowest world", gain, floor=-0.01, unit="points", note=name),
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
        name, share = worst(shares, highest)
        statement = f"Falsely alarmed in 16 sessions, shipped default, {of_asking(asking)}"
        measured += [
            Measured(f"false-{asking}", f"{statement}: mean", mean(shares.values()), floor=0.17, ceiling=0.23),
            Measured(f"false-world-{asking}", f"{statement}: highest world", share, ceiling=0.30, note=name),
        ]
    return measured


def adapted(results: Results) -> list[Measured]:
    shares = np.array([repeat.adapted for repeat in results.repeats])
    if len(shares) < MIN_REPEATS:
        return []
    resamples = Resamples.draw(len(shares), results.resamples, results.seed)
    statement = "The same after 200 relationships of history"
    is_in_range = resamples.share((shares >= 0.14) & (shares <= 0.26))
    return [
        Measured("adapted", f"{statement}: mean", resamples.share(shares), floor=0.18, ceiling=0.22),
        Measured("adapted-repeats", f"{statement}: repeats within 14 to 26%", is_in_range, floor=0.90),
    ]


def steady_false_rate(results: Results) -> list[Measured]:
    rates = [long_run.false_message_rates(run.stable) for run in results.long_runs]
    early, late = (mean(estimates) for estimates in zip(*rates, strict=True))
    statement = "False messages per appointment after session 16, against sessions 2 to 16"
    return [Measured("steady", statement, ratio(late, early), ceiling=1.2, unit="times")]


def stuck(results: Results) -> list[Measured]:
    """After shifts downwards, because one upwards opens no episode."""
    shares = [
        run.shift.resamples.share(long_run.is_stuck(run.shift), run.shift.relationships.truth.course.shift_points < 0)
        for run in results.long_runs
    ]
    return [Measured("stuck", "Stuck twelve weeks after a level shift", mean(shares), ceiling=0.03)]


def after_shift(results: Results) -> list[Measured]:
    statement = "A deep rupture is messaged, against the same without the shift: after a level shift"
    measured = []
    for key, direction, sign in (("after-shift", "downwards", -1), ("after-rise", "upwards", 1)):
        losses = []
        for run in results.long_runs:
            is_counted = sign * run.shift_and_rupture.relationships.truth.course.shift_points > 0
            of_shifted, of_twin = (1.0 * long_run.is_messaged(twin) for twin in (run.shift_and_rupture, run.rupture))
            losses.append(run.rupture.resamples.share(of_shifted - of_twin, is_counted))
        measured.append(Measured(key, f"{statement} {direction}", mean(losses), floor=-0.03, unit="points"))
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
    after_shift,
    calibration,
    urgent,
    early_onset,
)


def measure_bars(results: Results) -> list[Measured]:
    return [measured for bar in BARS for measured in bar(results)]
