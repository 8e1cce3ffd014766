"""When an alarm begins, how thresholds keep a budget, and when a rupture is found."""

import numpy as np
from river.drift import PageHinkley

from evaluation.generator import generate_ruptured, generate_stable
from evaluation.measures import (
    alarm_onsets,
    is_detected,
    peak_scores,
    threshold_for_budget,
    threshold_for_onset_rate,
    window_scores,
)
from evaluation.other_methods import PAGE_HINKLEY_DELTA_POINTS, page_hinkley
from evaluation.prior import fit_prior
from evaluation.settings import load_settings
from evaluation.trial import METHODS

ORDINAL_WORLD = next(world for world in load_settings().worlds if world.name == "ordinal").reported
STABLE, RUPTURED = generate_stable(ORDINAL_WORLD, 200, 16, seed=1), generate_ruptured(ORDINAL_WORLD, 200, 16, seed=1)
PRIOR = fit_prior(STABLE)
NAN = np.nan


def test_an_alarm_begins_only_where_there_was_none_before() -> None:
    scores = np.array([[0.0, 2.0, 2.0, NAN, 2.0, 0.0, 2.0]])

    assert alarm_onsets(scores, 1.0).tolist() == [[False, True, False, False, False, False, True]]


def test_at_most_the_budgeted_share_of_relationships_has_an_alarm() -> None:
    peaks = np.array([1.0, 2.0, 3.0, 4.0, 4.0, 5.0, 6.0, 7.0, 8.0, 8.0])

    assert (peaks >= threshold_for_budget(peaks, 0.2)).mean() <= 0.2
    assert (peaks >= threshold_for_budget(peaks, 0.4)).mean() == 0.4


def test_false_onsets_stay_within_their_budget() -> None:
    scores = np.random.default_rng(1).normal(size=(500, 16))

    assert alarm_onsets(scores, threshold_for_onset_rate(scores, 0.015)).mean() <= 0.015


def test_an_alarm_that_began_before_the_rupture_has_not_found_it() -> None:
    relationship = RUPTURED.select(RUPTURED.truth.onset_session == 6).select(np.array([0]))
    early_scores, late_scores = np.full((1, 16), 0.0), np.full((1, 16), 0.0)
    early_scores[0, 4:] = 2
    late_scores[0, 7:] = 2

    assert not is_detected(window_scores(early_scores, relationship, 2), 1.0)[0]
    assert is_detected(window_scores(late_scores, relationship, 2), 1.0)[0]
    assert not is_detected(window_scores(late_scores, relationship, 0), 1.0)[0]


def test_no_method_looks_ahead() -> None:
    """The score of a session does not change when later sessions are unknown."""
    truncated = RUPTURED.select(np.arange(60))
    known_sessions = 9
    for field in ("elements", "total", "clinician_total", "tension_reported", "tension_reported_by_clinician"):
        getattr(truncated.observations, field)[:, known_sessions:] = NAN
    for name, method in METHODS.items():
        scores_of_all, scores_of_truncated = (
            method(RUPTURED, PRIOR)[:60, :known_sessions],
            method(truncated, PRIOR)[:, :known_sessions],
        )
        np.testing.assert_allclose(scores_of_truncated, scores_of_all, rtol=1e-9, err_msg=name)


def test_only_the_fixed_cut_off_and_the_oracle_may_raise_an_alarm_at_the_first_rating() -> None:
    alarming = {name for name, method in METHODS.items() if np.isfinite(method(STABLE, PRIOR)[:, 0]).any()}

    assert {name for name in alarming if peak_scores(METHODS[name](STABLE, PRIOR)[:, :1]).max() > 0} <= {
        "cut-off",
        "oracle",
    }


def test_page_hinkley_gives_the_same_alarms_as_river() -> None:
    threshold = 8.0
    scores = page_hinkley(STABLE, PRIOR)
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
