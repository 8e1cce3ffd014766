"""When an alarm begins, how thresholds hold a budget, when a rupture is found, and what the bootstrap says of it."""

from dataclasses import replace

import numpy as np
import pytest
from river.drift import PageHinkley

from evaluation.measures import (
    Resamples,
    alarm_onsets,
    happens_in_window,
    interval,
    is_detected,
    peak_scores,
    ratio,
    thresholds_for_budget,
    window_scores,
)
from evaluation.methods import METHODS, PAGE_HINKLEY_DELTA_POINTS, page_hinkley
from evaluation.previous_model import previous_model
from evaluation.simulation.generator import generate_ruptured, generate_stable
from evaluation.simulation.question import ask
from evaluation.simulation.settings import load_settings
from evaluation.simulation.truth import NOT_ANSWERED

SETTINGS = load_settings()
WORLD = SETTINGS.world("ordinal").reported
STABLE, RUPTURED = generate_stable(WORLD, 200, seed=1), generate_ruptured(WORLD, 200, seed=1)
ALL_METHODS = {**METHODS, "previous model": previous_model}
NAN = np.nan


def test_an_alarm_begins_only_where_there_was_none_before() -> None:
    scores = np.array([[0.0, 2.0, 2.0, NAN, 2.0, 0.0, 2.0]])

    assert alarm_onsets(scores, 1.0).tolist() == [[False, True, False, False, False, False, True]]


def test_at_most_the_budgeted_share_of_relationships_has_an_alarm() -> None:
    peaks = np.array([1.0, 2.0, 3.0, 4.0, 4.0, 5.0, 6.0, 7.0, 8.0, 8.0])
    resamples = Resamples.draw(len(peaks), 50, seed=1)

    fifth, two_fifths = (thresholds_for_budget(peaks, resamples, budget) for budget in (0.2, 0.4))

    assert (peaks >= fifth[0]).mean() <= 0.2
    assert (peaks >= two_fifths[0]).mean() == 0.4
    for weights, threshold in zip(resamples.weights, two_fifths, strict=True):
        assert weights[peaks >= threshold].sum() <= 4
        assert weights[peaks >= np.nextafter(threshold, -np.inf)].sum() > 4


def test_an_alarm_that_began_before_the_rupture_has_not_found_it() -> None:
    relationship = RUPTURED.select((RUPTURED.truth.onset_session == 6) & (RUPTURED.truth.appointment_count > 8))
    relationship = relationship.select(np.array([0]))
    early_scores, late_scores = np.full((1, 16), 0.0), np.full((1, 16), 0.0)
    early_scores[0, 4:] = 2
    late_scores[0, 7:] = 2
    threshold = np.array([1.0])

    assert not is_detected(window_scores(early_scores, relationship, 2), threshold)[0, 0]
    assert is_detected(window_scores(late_scores, relationship, 2), threshold)[0, 0]
    assert not is_detected(window_scores(late_scores, relationship, 0), threshold)[0, 0]
    assert happens_in_window(alarm_onsets(late_scores, 1.0), relationship, 2)[0]
    assert not happens_in_window(alarm_onsets(late_scores, 1.0), relationship, 0)[0]
    assert not happens_in_window(alarm_onsets(early_scores, 1.0), relationship, 2)[0]


def test_nothing_is_found_after_the_end_of_a_relationship() -> None:
    rows = RUPTURED.truth.onset_session == RUPTURED.truth.appointment_count - 1
    last = RUPTURED.select(rows & (RUPTURED.truth.onset_session < 14))
    begins_after_end = np.arange(16) == last.truth.onset_session[:, None] + 1

    assert len(last)
    assert not happens_in_window(begins_after_end, last, 2).any()
    assert not is_detected(window_scores(1.0 * begins_after_end, last, 2), np.array([0.5])).any()


def test_an_interval_holds_what_resampling_the_relationships_gives() -> None:
    values = np.random.default_rng(2).random(400) < 0.3
    estimate = Resamples.draw(400, 1000, seed=3).share(values)
    low, high = interval(estimate)
    half_width = 1.96 * np.sqrt(values.mean() * (1 - values.mean()) / 400)

    assert estimate[0] == pytest.approx(values.mean())
    assert (high - low) / 2 == pytest.approx(half_width, rel=0.1)


def test_a_difference_of_two_methods_is_resampled_together() -> None:
    values = np.random.default_rng(2).random(400) < 0.3
    resamples = Resamples.draw(400, 100, seed=3)

    assert interval(resamples.share(values) - resamples.share(values)) == (0.0, 0.0)
    assert np.isnan(resamples.share(values, np.zeros(400, bool))).all()
    assert np.isnan(ratio(np.array([1.0]), np.array([0.0])))[0]


@pytest.mark.parametrize("name", ALL_METHODS)
def test_no_method_looks_ahead(name: str) -> None:
    """The score of an appointment does not change when later ones are unknown."""
    known, asked = 9, ask(RUPTURED, SETTINGS.question, "candid", seed=4).select(slice(0, 60))
    is_later = np.arange(16) >= known
    observed = asked.observations
    truncated = replace(
        asked,
        observations=replace(
            observed,
            elements=np.where(is_later[:, None], NAN, observed.elements),
            **{name: np.where(is_later, NAN, getattr(observed, name)) for name in ("total", "clinician_total")},
            **{
                name: np.where(is_later, NOT_ANSWERED, getattr(observed, name))
                for name in ("tension", "talked_about", "clinician_tension", "clinician_talked_about")
            },
        ),
    )
    method = ALL_METHODS[name]

    np.testing.assert_allclose(method(truncated)[:, :known], method(asked)[:, :known], rtol=1e-9)


def test_only_the_fixed_cut_off_may_raise_an_alarm_at_the_first_rating() -> None:
    peaks = {name: peak_scores(method(STABLE)[:, :1]).max() for name, method in ALL_METHODS.items()}

    assert {name for name, peak in peaks.items() if peak > 0} == {"cut-off"}


def test_page_hinkley_gives_the_same_alarms_as_river() -> None:
    threshold = 8.0
    scores = page_hinkley(STABLE)
    for row in range(50):
        given = ~np.isnan(STABLE.observations.total[row])
        detector = PageHinkley(
            min_instances=2, delta=PAGE_HINKLEY_DELTA_POINTS, threshold=threshold, alpha=1.0, mode="down"
        )
        for rating, score in zip(STABLE.observations.total[row][given], scores[row][given], strict=True):
            detector.update(rating)
            assert detector.drift_detected == (score > threshold)
            if detector.drift_detected:
                break  # river starts again after an alarm
