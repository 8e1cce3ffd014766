"""What is expected of the next rating: the figures of docs/scoring.md, computed by hand from what it says."""

from collections.abc import Iterable
from datetime import timedelta
from functools import reduce
from math import sqrt

import pytest

from services.alliance.domain.detection.baseline import (
    MEMORY,
    Expectation,
    append_rating,
    expect_rating,
    expect_relative,
    restart_element_gaps,
    update_baseline,
    update_element_gaps,
)
from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, RatingPrior
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.domain.state.ratings import ElementGaps, Series
from shared.events import Element
from tests.support.builders import RelationshipBuilder

BUILDER = RelationshipBuilder()
PRIOR = RatingPrior(mean=80, varies=10, spread=6, at_top=4, widening=0.1)
SURE = Expectation(mean=80, spread=10, sureness=1, is_known=True)


def rated_sessions(*ratings: float, first: int = 0) -> list[HistoryEvent]:
    return [
        event
        for week, rating in enumerate(ratings, start=first)
        for event in (BUILDER.completed(week), BUILDER.feedback(week, rating))
    ]


def fold_events(events: Iterable[HistoryEvent]) -> Alliance:
    return fold([BUILDER.started(), BUILDER.consent_changed(-0.5, given=True), *events], DEFAULT_POLICY)


def add(series: Series, rating: float, calm: float = 1.0) -> Series:
    """The series with one more rating, a week later, and with its baseline updated."""
    expected = expect_rating(series, PRIOR)
    return update_baseline(append_rating(series, rating, BUILDER.at(series.ratings), expected), rating, expected, calm)


def series_of(*ratings: float) -> Series:
    return reduce(add, ratings, Series())


def add_form(gaps: ElementGaps, relative_ratings: dict[Element, float]) -> ElementGaps:
    """The gaps with one more form of a calm relationship."""
    expected = expect_relative(gaps, relative_ratings, PRIOR, 90)
    return update_element_gaps(gaps, relative_ratings, expected, 1.0, ratings_before=0)


def test_the_level_moves_by_two_fifths_of_the_distance_to_a_new_rating() -> None:
    assert fold_events(rated_sessions(9, 4)).client.rolling_score == pytest.approx(90 + 0.4 * (40 - 90))


def test_before_the_first_rating_the_clinics_prior_is_expected() -> None:
    """However small its spread is; the spread depends on the level."""
    small = RatingPrior(mean=90, varies=0.5, spread=0.4, at_top=0.1, widening=0.02)

    assert expect_rating(Series(), small).mean == pytest.approx(90)
    assert expect_rating(Series(), small).spread == pytest.approx(sqrt((0.1 + 0.02 * 10) ** 2 + 0.5**2))
    assert expect_rating(Series(), PRIOR).spread == pytest.approx(sqrt((4 + 0.1 * 20) ** 2 + 10**2))


def test_the_spread_within_a_relationship_is_at_least_a_third_of_the_clinics() -> None:
    steady = RatingPrior(mean=90, varies=1, spread=10, at_top=0.5, widening=0)

    assert expect_rating(Series(), steady).spread == pytest.approx(sqrt(3.5**2 + 1))


def test_a_rating_is_expected_by_the_own_ratings_and_the_prior() -> None:
    """The formula of docs/scoring.md."""
    ratings, ages = (70.0, 80.0, 78.0), (MEMORY**2, MEMORY, 1.0)
    n, t = sum(ages), sum(age * rating for age, rating in zip(ages, ratings, strict=True))
    scatter = sum(age * (rating - t / n) ** 2 for age, rating in zip(ages, ratings, strict=True))
    own_weight = (PRIOR.spread / PRIOR.varies) ** 2
    level = (PRIOR.mean * own_weight + t) / (own_weight + n)
    s_squared = (1.5 * (PRIOR.at_top + PRIOR.widening * (100 - level)) ** 2 + scatter) / (1.5 + n - 1)
    precision = 1 / PRIOR.varies**2 + n / s_squared

    expected = expect_rating(series_of(*ratings), PRIOR)

    assert expected.mean == pytest.approx((PRIOR.mean / PRIOR.varies**2 + t / s_squared) / precision)
    assert expected.spread == pytest.approx(sqrt(s_squared + 1 / precision))
    assert expected.sureness == pytest.approx(sqrt(s_squared) / expected.spread)


def test_a_higher_rating_than_the_own_ones_can_be_expected() -> None:
    """A low first rating would otherwise distort what is expected for long."""
    assert expect_rating(series_of(60), PRIOR).mean > 60
    assert 60 < expect_rating(series_of(60, 80), PRIOR).mean < 80


def test_what_is_expected_rests_on_own_ratings_or_on_the_clinic_alone() -> None:
    assert not expect_rating(Series(), PRIOR).is_known
    assert expect_rating(series_of(60), PRIOR).is_known


def test_older_ratings_count_a_little_less() -> None:
    """So the baseline follows a slow change: what is usual now says more than what was usual a year ago."""
    rising, falling = series_of(*range(60, 90)), series_of(*range(90, 60, -1))

    assert rising.baseline_mean is not None
    assert falling.baseline_mean is not None
    assert rising.baseline_mean > falling.baseline_mean
    assert series_of(*[80] * 500).baseline_weight == pytest.approx(1 / (1 - MEMORY), abs=0.01)


def test_a_rating_counts_as_much_as_the_relationship_is_likely_to_be_calm() -> None:
    usual = series_of(80, 82, 81)
    calm, unclear, ruptured = (add(usual, 75, calm=probability) for probability in (1.0, 0.5, 0.0))

    assert ruptured.baseline_weight == usual.baseline_weight
    assert ruptured.baseline_mean == usual.baseline_mean
    assert unclear.baseline_weight - MEMORY**0.5 * usual.baseline_weight == pytest.approx(0.5, abs=0.01)
    assert calm.baseline_mean is not None
    assert unclear.baseline_mean is not None
    assert usual.baseline_mean is not None
    assert calm.baseline_mean < unclear.baseline_mean < usual.baseline_mean
    assert add(Series(), 50, calm=0.1).baseline_mean == 50  # the first one: nothing else is known


def test_a_rating_in_a_likely_rupture_hardly_moves_the_baseline() -> None:
    """Not even for six weeks: what is usual stays what it was before, to three points."""
    usual = fold_events(rated_sessions(*[9.0] * 8))
    ruptured = fold_events(rated_sessions(*[9.0] * 8, *[5.0] * 6))

    assert ruptured.client.baseline_mean == pytest.approx(usual.client.baseline_mean, abs=3)


def test_four_of_five_ratings_are_expected_in_the_band_which_stays_on_the_scale() -> None:
    assert [SURE.low, SURE.high] == pytest.approx([80 - 12.816, 80 + 12.816])
    assert (Expectation(99, 10, 1, is_known=True).high, Expectation(2, 10, 1, is_known=True).low) == (100, 0)


@pytest.mark.parametrize(("days", "variance"), [(10, 0), (28, 0), (29, 0.3), (128, 30), (9_999, 100)])
def test_after_four_weeks_each_day_without_a_rating_widens_the_band(days: int, variance: float) -> None:
    series = series_of(85, 90, 88)
    soon, later = (expect_rating(series, PRIOR, BUILDER.at(2) + timedelta(days=passed)) for passed in (1, days))

    assert later.spread**2 - soon.spread**2 == pytest.approx(variance)


def test_a_rating_far_off_moves_the_baseline_no_more_than_one_three_spreads_away() -> None:
    """From the third rating on."""
    series = series_of(80, 82)
    expected = expect_rating(series, PRIOR)
    three_spreads = expected.mean - 3 * expected.spread

    assert add(series, three_spreads - 20).baseline_total == pytest.approx(add(series, three_spreads).baseline_total)
    assert add(series, three_spreads + 1).baseline_total > add(series, three_spreads).baseline_total
    assert series_of(80, 10).baseline_total == pytest.approx(80 * MEMORY + 10)


def test_the_elements_of_a_relationship_share_one_spread() -> None:
    gaps = ElementGaps({"trust": 20.0, "fit": 0.0}, weight=4, weights={"trust": 4, "fit": 0}, squared_deviations=30.0)
    prior = RatingPrior(mean=0, varies=3, spread=5, at_top=1, widening=0.01)
    s_squared = (1.5 * 5.2**2 + 30) / (1.5 + 3)

    expected = expect_relative(gaps, ("trust", "fit", "respect"), prior, 90)

    precision = 1 / 3**2 + 4 / s_squared
    assert expected["trust"].mean == pytest.approx(20 / s_squared / precision)
    assert expected["trust"].spread == pytest.approx(sqrt(s_squared + 1 / precision))
    assert expected["fit"] == expected["respect"]
    assert [expected["fit"].mean, expected["fit"].spread] == pytest.approx([0, sqrt(s_squared + 9)])


def test_an_element_that_some_forms_leave_out_rests_on_its_own_forms() -> None:
    whole: dict[Element, float] = {"trust": 3.0, "fit": -3.0, "respect": 0.0}
    partial: dict[Element, float] = {"trust": 1.0, "fit": -1.0, "guidance": 0.0}

    gaps = reduce(add_form, (whole, whole, partial, whole), ElementGaps())

    assert gaps.weight_of("trust") == pytest.approx(1 + MEMORY + MEMORY**2 + MEMORY**3)
    assert gaps.weight_of("respect") == pytest.approx(1 + MEMORY + MEMORY**2)
    assert (gaps.weight_of("guidance"), gaps.weight_of("common_aim")) == (1, 0)
    assert gaps.totals["respect"] == 0
    assert gaps.totals["trust"] == pytest.approx(3 + MEMORY + 3 * MEMORY**2 + 3 * MEMORY**3, abs=0.002)


def test_elements_restart_from_their_latest_scores_with_the_weight_of_these() -> None:
    """Also after so few forms that all of them weigh less."""
    form: dict[Element, float] = {"trust": 3.0, "fit": -3.0, "respect": 0.0}
    scores: dict[Element, float] = {"trust": 60.0, "fit": 80.0, "respect": 70.0, "guidance": 70.0}

    for forms in (1, 8):
        restarted = restart_element_gaps(reduce(add_form, [form] * forms, ElementGaps()), scores)

        assert [restarted.weight_of(element) for element in form] == pytest.approx([2.5] * 3)
        assert list(restarted.totals.values()) == pytest.approx([2.5 * -40 / 3, 2.5 * 40 / 3, 0])
        assert restarted.weight == pytest.approx(min(forms, 2.5))
