"""How many alerts are right, and how many a clinician gets."""

import numpy as np
import pytest

from evaluation.alerting import (
    Alerts,
    alerts_per_appointment,
    first_above,
    first_in_episode,
    is_right,
    precision,
    share_of_deep_reached,
)
from evaluation.simulation.generator import generate_ruptured, generate_stable
from evaluation.simulation.settings import KINDS, load_settings
from evaluation.simulation.truth import ENDED
from evaluation.trial import Samples, TrialResamples, WorldTrial
from tests.support.folded import folded

WORLD = load_settings().world("ordinal")
COUNT = 200
STABLE, RUPTURED = (generate(WORLD.reported, COUNT, 5) for generate in (generate_stable, generate_ruptured))
SAMPLES = Samples(STABLE, STABLE, RUPTURED)
TRIAL = WorldTrial(WORLD, SAMPLES, TrialResamples.draw(SAMPLES, 20, 1), {}, {}, {})
ONSET = RUPTURED.truth.onset_session
NEVER = np.zeros((COUNT, 16), bool)
AT_ONSET = np.arange(16) == ONSET[:, None]
ONCE = np.arange(16) == 3


def test_an_alert_is_right_in_a_rupture_and_two_appointments_after_it() -> None:
    right, in_rupture = is_right(RUPTURED), RUPTURED.truth.in_rupture
    row = int(np.flatnonzero((RUPTURED.truth.ruptures.end[:, 0] < 12) & (ONSET > 2))[0])
    end = int(RUPTURED.truth.ruptures.end[row, 0])

    assert (right[in_rupture]).all()
    assert right[row, end : end + 4].tolist() == [True, True, False, False]
    assert not right[row, ONSET[row] - 1]


@pytest.mark.parametrize(("base_rate", "expected"), [(0.05, 0.05), (0.5, 0.5)])
def test_precision_depends_on_the_base_rate(base_rate: float, expected: float) -> None:
    """One alert in every relationship, which is right in a ruptured one: as many are right as have a rupture."""
    stable = np.arange(16) == 0
    alerts = Alerts(np.broadcast_to(stable, NEVER.shape), AT_ONSET)

    assert precision(TRIAL, alerts, base_rate)[0] == pytest.approx(expected)


def test_alerts_before_the_rupture_are_false() -> None:
    first = Alerts(NEVER, np.broadcast_to(np.arange(16) == 0, NEVER.shape))

    assert precision(TRIAL, first, 0.15)[0] == 0
    assert np.isnan(precision(TRIAL, Alerts(NEVER, NEVER), 0.15)[0])


def test_alerts_are_counted_per_appointment() -> None:
    once = Alerts(np.broadcast_to(ONCE, NEVER.shape), NEVER)
    appointments = [(sample.observations.appointment != ENDED).sum() for sample in (STABLE, RUPTURED)]

    assert alerts_per_appointment(TRIAL, once, 0.5)[0] == pytest.approx(COUNT / sum(appointments))


def test_only_deep_ruptures_that_lower_ratings_have_to_be_urgent() -> None:
    truth = RUPTURED.truth
    is_deep = (truth.depth >= 3) & (truth.kind < KINDS.index("withdrawal"))

    assert share_of_deep_reached(TRIAL, Alerts(NEVER, AT_ONSET & is_deep[:, None]))[0] == 1
    assert share_of_deep_reached(TRIAL, Alerts(NEVER, AT_ONSET & ~is_deep[:, None]))[0] == 0


def test_a_threshold_alarms_once_in_each_episode() -> None:
    said = folded(
        probability=np.array([[0.2, 0.6, 0.4, 0.7, 0.8, 0.9]]),
        open_since=np.array([[-1, 1, 1, 1, 4, -1]]),
    )

    assert first_in_episode(said, 0.5).tolist() == [[False, True, False, False, True, False]]
    assert first_in_episode(said, 0.85).sum() == 0


def test_a_probability_alerts_again_only_after_it_fell_to_half_of_the_threshold() -> None:
    probability = np.array([[0.1, 0.6, 0.4, 0.7, 0.2, 0.5, 0.5], [0.5, 0.26, 0.5, 0.25, 0.5, 0.0, 0.4]])

    assert np.flatnonzero(first_above(probability, 0.5)[0]).tolist() == [1, 5]
    assert np.flatnonzero(first_above(probability, 0.5)[1]).tolist() == [0, 4]


def test_alerts_of_the_first_relationships_are_measured_on_these() -> None:
    every, half = Alerts(NEVER, AT_ONSET), Alerts(NEVER, AT_ONSET & (np.arange(COUNT) < COUNT // 2)[:, None])

    assert share_of_deep_reached(TRIAL, half.first(COUNT // 2))[0] == 1.0
    assert share_of_deep_reached(TRIAL, half)[0] < 1.0
    assert precision(TRIAL, every.first(10), 0.15)[0] == precision(TRIAL, every, 0.15)[0] == 1.0
