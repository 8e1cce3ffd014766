"""What the bars of the long run measure."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.attune import CONCERN
from evaluation.bars import after_shift, steady_false_rate, stuck
from evaluation.long_run import LongRun, Run
from evaluation.measured import Results
from evaluation.measures import Resamples
from evaluation.simulation.generator import generate_long, generate_stable
from evaluation.simulation.settings import load_settings
from evaluation.simulation.truth import Relationships
from tests.support.folded import folded

SETTINGS = load_settings()
WORLD, COUNT, LENGTH, RESAMPLES = SETTINGS.world("ordinal"), 40, SETTINGS.long.appointments, 20
STABLE = generate_stable(WORLD.reported, COUNT, 4, LENGTH)
SHIFT, SHIFT_AND_RUPTURE, RUPTURE = (
    generate_long(WORLD.reported, SETTINGS.long, COUNT, 3, sample)
    for sample in ("shift", "shift_and_rupture", "rupture")
)
SESSION, NOTHING = np.arange(LENGTH), np.zeros((COUNT, LENGTH), int)


def run(relationships: Relationships, **said: np.ndarray) -> Run:
    return Run(relationships, folded(**said or {"reached": NOTHING}), Resamples.draw(COUNT, RESAMPLES, 1))


def results(**samples: Run) -> Results:
    silent = {
        "stable": run(STABLE),
        "mixed": run(STABLE),
        "shift": run(SHIFT),
        "shift_and_rupture": run(SHIFT_AND_RUPTURE),
        "rupture": run(RUPTURE),
    }
    return Results((), (LongRun(WORLD, **silent | samples, state_bytes=[]),), {}, (), RESAMPLES, 1)


def test_later_false_messages_are_compared_with_early_ones() -> None:
    """One message in fifteen early appointments, and one in four later."""
    reached = CONCERN * ((SESSION == 5) | ((SESSION >= 16) & (SESSION % 4 == 0))) * np.ones((COUNT, 1), int)

    assert steady_false_rate(results(stable=run(STABLE, reached=reached)))[0].value == pytest.approx(15 / 4, rel=0.1)


@pytest.mark.parametrize(("direction", "expected"), [(-1, 1.0), (1, 0.0)])
def test_only_a_shift_downwards_can_leave_an_episode_stuck(direction: int, expected: float) -> None:
    observed, course = SHIFT.observations, SHIFT.truth.course
    above_floor = replace(observed, total=np.maximum(observed.total, 41), elements=np.maximum(observed.elements, 30))
    is_open = (course.shift_session[:, None] <= SESSION) & (direction * course.shift_points > 0)[:, None]
    open_since = np.where(is_open, course.shift_session[:, None], -1)

    of_shift = run(replace(SHIFT, observations=above_floor), open_since=open_since)

    assert stuck(results(shift=of_shift))[0].value == expected


@pytest.mark.parametrize(("direction", "key"), [(-1, "after-shift"), (1, "after-rise")])
def test_a_deep_rupture_that_only_the_twin_is_messaged_about_is_a_loss(direction: int, key: str) -> None:
    at_onset, twin_at_onset = (
        CONCERN * (sample.truth.onset_session[:, None] == SESSION) for sample in (SHIFT_AND_RUPTURE, RUPTURE)
    )
    is_lost = direction * SHIFT_AND_RUPTURE.truth.course.shift_points > 0
    of_shifted = run(SHIFT_AND_RUPTURE, reached=at_onset * ~is_lost[:, None])

    losses = after_shift(results(shift_and_rupture=of_shifted, rupture=run(RUPTURE, reached=twin_at_onset)))

    assert {measured.key: measured.value for measured in losses} == {"after-shift": 0.0, "after-rise": 0.0} | {key: -1}
