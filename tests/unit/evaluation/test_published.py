"""The rules of published studies, and what they give in a simulated world."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.published import (
    FIGURES,
    Comparison,
    clients_below,
    compare,
    dependability,
    in_order,
    repaired_of_larsson,
    sessions_below,
    unrepaired_of_larsson,
    v_of_stiles,
    variance_parts,
)
from evaluation.simulation.settings import load_settings
from evaluation.simulation.truth import FloatArray

NAN = np.nan
STEADY = [90.0, 91, 90, 89, 90, 91, 90, 89]
ONE_LOW = [90.0, 91, 90, 89, 60, 89, 90, 91]
FALLEN = [90.0, 91, 90, 89, 60, 61, 60, 59]
FLAT = [100.0] * 8


def share(contributions: FloatArray) -> list[float]:
    return contributions[:, 0].tolist()


def test_ratings_are_read_one_after_the_other() -> None:
    np.testing.assert_array_equal(in_order(np.array([[NAN, 90, NAN, 80]])), [[90, 80, NAN, NAN]])


def test_a_chart_of_individual_values_flags_one_low_session_and_never_a_flat_course() -> None:
    ratings = np.array([STEADY, [90.0, 91, 90, 91, 40, 91, 90, 91], FLAT])

    assert share(clients_below(2)(ratings)) == [0, 1, 0]
    assert sessions_below(2)(ratings).tolist() == [[0, 8], [1, 8], [0, 8]]


def test_a_v_of_two_spreads_falls_and_regains() -> None:
    assert share(v_of_stiles(np.array([STEADY, ONE_LOW, FALLEN, FLAT]))) == [0, 1, 0, 0]


def test_a_rupture_is_repaired_if_half_of_the_fall_is_ever_regained() -> None:
    ratings = np.array([STEADY, ONE_LOW, FALLEN, FLAT])

    assert share(repaired_of_larsson(ratings)) == [0, 1, 0, 0]
    assert share(unrepaired_of_larsson(ratings)) == [0, 0, 1, 0]


def test_dependability_is_the_share_of_the_variance_between_clients() -> None:
    rng = np.random.default_rng(1)
    ratings = rng.normal(80, 10, (5000, 1)) + rng.normal(0, 5, (5000, 8))
    ratings[::2, 5:] = NAN

    assert dependability(variance_parts(ratings).sum(axis=0)) == pytest.approx(0.8, abs=0.01)


def test_a_world_says_whether_a_published_figure_lies_within_its_interval() -> None:
    comparison = Comparison("world", replace(FIGURES[0], published=0.29), 0.25, 0.2, 0.3)

    assert comparison.holds
    assert not replace(comparison, high=0.28).holds


def test_every_figure_has_a_value_and_an_interval_as_wide_as_its_study_is_small() -> None:
    world = load_settings().world("ordinal")
    comparisons = {c.figure.name: c for c in compare(world, 2000, ruptured_share=0.25, resamples=200, seed=1)}

    assert len(comparisons) == len(FIGURES)
    assert all(c.low <= c.value <= c.high for c in comparisons.values())
    assert all(c.figure.reading and c.figure.source for c in comparisons.values())
    small, large = comparisons["clients with a V of two spreads"], comparisons["clients with a repaired rupture"]
    assert small.high - small.low > 1.5 * (large.high - large.low)


def test_more_ruptures_are_found_where_there_are_more() -> None:
    world = load_settings().world("gaussian")
    values = [
        next(
            c.value
            for c in compare(world, 2000, ruptured, 50, seed=1)
            if c.figure.name == "clients with an unrepaired rupture"
        )
        for ruptured in (0.0, 0.6)
    ]

    assert values[1] > values[0] + 0.03
