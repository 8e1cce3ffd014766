"""Every method on the same relationships, with thresholds from other ones."""

import numpy as np
import pytest

from evaluation.settings import ASKED_LAWS, UNASKED
from evaluation.simulation.settings import TOTAL_VISIBLE_KINDS, load_settings
from evaluation.simulation.truth import FloatArray
from evaluation.trial import Samples, TrialResamples, WorldTrial, asked, evaluate

SETTINGS = load_settings()
WORLD = SETTINGS.world("ordinal")
COUNT = 100
SAMPLES = Samples.generate(WORLD, COUNT, seed=1)
RESAMPLES = TrialResamples.draw(SAMPLES, 20, seed=1)


def with_peaks(peaks: FloatArray) -> FloatArray:
    scores = np.zeros((COUNT, 16))
    scores[:, 4] = peaks
    return scores


def test_thresholds_come_from_the_tuning_relationships_alone() -> None:
    at_onset = 1.0 * (np.arange(16) == SAMPLES.ruptured.truth.onset_session[:, None]) * 95
    outcome = evaluate(
        SAMPLES, (with_peaks(np.arange(100.0)), with_peaks(np.full(COUNT, 50.0)), at_onset), RESAMPLES, 0.2
    )
    stricter = evaluate(
        SAMPLES, (with_peaks(np.arange(100.0) + 50), with_peaks(np.full(COUNT, 90.0)), at_onset), RESAMPLES, 0.2
    )

    assert outcome.thresholds[0] == pytest.approx(79)
    assert outcome.found[0].all()
    assert not outcome.falsely_alarmed.any()
    assert not stricter.found[0].any()
    assert (outcome.thresholds[1:] != outcome.thresholds[0]).any()


def test_found_means_within_two_sessions_and_is_shown_for_fewer_and_more() -> None:
    late = 95.0 * (np.arange(16) == SAMPLES.ruptured.truth.onset_session[:, None] + 2)
    is_there = SAMPLES.ruptured.truth.appointment_count > SAMPLES.ruptured.truth.onset_session + 2
    outcome = evaluate(SAMPLES, (with_peaks(np.arange(100.0)), with_peaks(np.zeros(COUNT)), late), RESAMPLES, 0.2)

    assert (outcome.found[0] == is_there).all()
    assert [found.any() for found in outcome.found_within] == [False, False, True, True]


def test_the_samples_are_of_different_relationships_and_the_tuning_of_other_settings() -> None:
    other = Samples.generate(WORLD, COUNT, seed=2)

    assert (SAMPLES.tuning.truth.clients.level != SAMPLES.stable.truth.clients.level).all()
    assert (SAMPLES.tuning.truth.clients.level != other.tuning.truth.clients.level).all()
    assert SAMPLES.tuning.truth.clients.level.mean() < SAMPLES.stable.truth.clients.level.mean()


@pytest.mark.parametrize("law", ASKED_LAWS)
def test_only_the_answers_to_the_question_differ_between_the_laws(law: str) -> None:
    of_law = SAMPLES.asked(SETTINGS.question, law, seed=1)

    np.testing.assert_array_equal(of_law.ruptured.observations.total, SAMPLES.ruptured.observations.total)
    assert (of_law.ruptured.observations.tension != SAMPLES.ruptured.observations.tension).any()
    assert SAMPLES.asked(SETTINGS.question, UNASKED, seed=1) is SAMPLES
    assert asked("Attune", law) != asked("Attune", UNASKED) == "Attune"


def test_the_ruptures_of_the_whole_rating_are_v_step_and_slide() -> None:
    trial = WorldTrial(WORLD, SAMPLES, RESAMPLES, {}, {}, {})

    assert set(SAMPLES.ruptured.truth.kind[trial.is_whole]) == set(TOTAL_VISIBLE_KINDS)
    assert not set(SAMPLES.ruptured.truth.kind[~trial.is_whole]) & set(TOTAL_VISIBLE_KINDS)
