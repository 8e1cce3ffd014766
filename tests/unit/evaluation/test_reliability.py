"""Whether what is said is so."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.reliability import fit_logistic, measure_reliability, measure_skills, recalibrate, ruptured_weight
from evaluation.settings import UNASKED
from evaluation.simulation.generator import generate_ruptured, generate_stable
from evaluation.simulation.settings import load_settings
from evaluation.simulation.truth import ENDED
from evaluation.trial import ATTUNE, Messages, Posteriors, Samples, TrialResamples, WorldTrial
from tests.support.folded import folded

WORLD = load_settings().world("ordinal")
COUNT, BASE_RATE = 1500, 0.15
STABLE, RUPTURED = (generate(WORLD.reported, COUNT, 5) for generate in (generate_stable, generate_ruptured))
SAMPLES = Samples(STABLE, STABLE, RUPTURED)
WEIGHT = ruptured_weight(COUNT, COUNT, BASE_RATE)
IN_RUPTURE = RUPTURED.truth.in_rupture & (RUPTURED.observations.appointment != ENDED)
ALL = (STABLE.observations.appointment != ENDED).sum() + WEIGHT * (RUPTURED.observations.appointment != ENDED).sum()
SHARE = WEIGHT * IN_RUPTURE.sum() / ALL


def trial(of_stable: np.ndarray, of_ruptured: np.ndarray) -> WorldTrial:
    messages = {UNASKED: Messages(folded(probability=of_stable), folded(probability=of_ruptured))}
    resamples = TrialResamples.draw(SAMPLES, 100, 1)
    return WorldTrial(WORLD, SAMPLES, resamples, {}, messages, {BASE_RATE: messages})


def test_the_mix_has_the_base_rate() -> None:
    assert pytest.approx(BASE_RATE) == WEIGHT * COUNT / (WEIGHT * COUNT + COUNT)


def test_saying_the_share_has_no_skill_and_knowing_has_all() -> None:
    said = np.full((COUNT, 16), SHARE)
    constant = measure_reliability(trial(said, said), UNASKED, BASE_RATE)
    known = measure_reliability(
        trial(np.full((COUNT, 16), 0.001), np.where(RUPTURED.truth.in_rupture, 0.999, 0.001)), UNASKED, BASE_RATE
    )

    assert constant.brier_skill[0] == pytest.approx(0, abs=1e-6)
    assert known.brier_skill[0] == pytest.approx(1, abs=1e-4)
    assert known.worst_gap is not None
    assert known.worst_gap[0] == pytest.approx(0.001, abs=1e-6)


def test_the_largest_distance_above_a_half_is_found_where_there_are_enough_appointments() -> None:
    """Said: .72 in every third rupture and in stable relationships; .95 in a handful of appointments only."""
    rng = np.random.default_rng(3)
    of_stable = np.where(rng.random((COUNT, 16)) < 0.02, 0.72, 0.03)
    of_ruptured = np.where(RUPTURED.truth.in_rupture & (rng.random((COUNT, 16)) < 0.3), 0.72, 0.03)
    of_stable[:5, 0] = 0.95
    reliability = measure_reliability(trial(of_stable, of_ruptured), UNASKED, BASE_RATE)
    right = WEIGHT * ((of_ruptured == 0.72) & IN_RUPTURE).sum()
    wrong = ((of_stable == 0.72) & (STABLE.observations.appointment != ENDED)).sum()

    assert reliability.worst_gap is not None
    assert reliability.worst_gap[0] == pytest.approx(0.72 - right / (right + wrong))
    assert measure_reliability(trial(of_stable * 0.5, of_ruptured * 0.5), UNASKED, BASE_RATE).worst_gap is None


def test_a_recalibration_finds_what_made_the_log_odds_too_large() -> None:
    rng = np.random.default_rng(2)
    true = rng.normal(-1, 1.5, 40_000)
    y = (rng.random(40_000) < 1 / (1 + np.exp(-true))).astype(float)

    offset, slope = fit_logistic((true + 1) / 0.5, y, np.ones(40_000))

    assert offset == pytest.approx(-1, abs=0.05)
    assert slope == pytest.approx(0.5, abs=0.03)


def test_a_constant_that_is_twice_the_share_has_to_be_lowered() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.3, (2, COUNT, 16))
    log_odds = np.log(2 * SHARE / (1 - 2 * SHARE))
    said = 1 / (1 + np.exp(-log_odds - noise))

    offset, slope = recalibrate([trial(said[0], said[1])], UNASKED, BASE_RATE)

    assert slope == pytest.approx(0, abs=0.2)
    assert offset + slope * log_odds == pytest.approx(np.log(SHARE / (1 - SHARE)), abs=0.1)


def test_nothing_counts_after_the_end_or_before_anything_is_said() -> None:
    said = np.full((COUNT, 16), 0.2)
    said[:, 0] = 0
    sums = measure_reliability(replace(trial(said, said)), UNASKED, BASE_RATE).count.sum()

    assert sums == pytest.approx(ALL - COUNT - WEIGHT * COUNT)


def test_an_oracle_and_attune_are_compared_after_the_same_appointments_of_the_same_relationships() -> None:
    """Attune says the share; after every other appointment nothing. The oracle saw the first relationships only."""
    said, few = np.where(np.arange(16) % 2 == 0, SHARE, 0) * np.ones((COUNT, 1)), COUNT // 3
    knows = Posteriors(np.zeros((few, 16)), 1.0 * RUPTURED.truth.in_rupture[:few])
    guesses = Posteriors(
        np.full((few, 16), 0.3), np.where(np.arange(16) % 2 == 0, RUPTURED.truth.in_rupture[:few], 0.0)
    )
    posteriors = {
        ("knows", UNASKED, BASE_RATE): knows,
        ("guesses", UNASKED, BASE_RATE): guesses,
        ("another", UNASKED, 0.9): knows,
    }
    skills = measure_skills(replace(trial(said, said), posteriors=posteriors), UNASKED, BASE_RATE)

    assert set(skills) == {ATTUNE, "knows", "guesses"}
    assert skills["knows"][0] == pytest.approx(1)
    assert skills["guesses"][0] < 0.7
    assert skills[ATTUNE][0] == pytest.approx(0, abs=0.02)
    assert len(skills[ATTUNE]) == 101
