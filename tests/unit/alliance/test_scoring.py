"""The figures of docs/scoring.md, each computed by hand from what is written there."""

from collections.abc import Iterable
from datetime import timedelta
from math import exp, log, sqrt

import pytest

from services.alliance.domain.detection import probability
from services.alliance.domain.detection.baseline import (
    Expectation,
    append_rating,
    expect_rating,
    expect_relative,
    update_baseline,
)
from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, RatePrior, RatingPrior
from services.alliance.domain.state.alliance import Alliance, ElementGaps, RatingGap, Series
from services.alliance.domain.state.history import HistoryEvent
from shared.events import TalkedAbout
from tests.support.builders import RelationshipBuilder

BUILDER = RelationshipBuilder()
PRIOR = RatingPrior(mean=80, varies=10, spread=6, at_top=4, widening=0.1)
NOT_VARYING = Expectation(mean=80, spread=10, sureness=1)


def rated_sessions(*ratings: float, first: int = 0) -> list[HistoryEvent]:
    return [
        event
        for week, rating in enumerate(ratings, start=first)
        for event in (BUILDER.completed(week), BUILDER.feedback(week, rating))
    ]


def fold_events(events: Iterable[HistoryEvent]) -> Alliance:
    return fold([BUILDER.started(), BUILDER.consent_changed(-0.5, given=True), *events], DEFAULT_POLICY)


def series_of(*ratings: float) -> Series:
    series = Series()
    for week, rating in enumerate(ratings):
        expected = expect_rating(series, PRIOR)
        series = update_baseline(append_rating(series, rating, BUILDER.at(week), expected), rating, expected)
    return series


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
    n, t, scatter = 3, 70 + 80 + 78, 2 * (76 - 76) ** 2 + (70 - 76) ** 2 + (80 - 76) ** 2 + (78 - 76) ** 2
    own_weight = (PRIOR.spread / PRIOR.varies) ** 2
    level = (PRIOR.mean * own_weight + t) / (own_weight + n)
    s_squared = (3 * (PRIOR.at_top + PRIOR.widening * (100 - level)) ** 2 + scatter) / (3 + n - 1)
    precision = 1 / PRIOR.varies**2 + n / s_squared
    mean = (PRIOR.mean / PRIOR.varies**2 + t / s_squared) / precision

    expected = expect_rating(series_of(70, 80, 78), PRIOR)

    assert mean > t / n
    assert expected.mean == pytest.approx(t / n)  # no higher rating is expected than there has been
    assert expected.spread == pytest.approx(sqrt(s_squared + 1 / precision))
    assert expected.sureness == pytest.approx(sqrt(s_squared) / expected.spread)
    assert expect_rating(series_of(90, 100, 98), PRIOR).mean < 96


def test_four_of_five_ratings_are_expected_in_the_band_which_stays_on_the_scale() -> None:
    assert [NOT_VARYING.low, NOT_VARYING.high] == pytest.approx([80 - 12.816, 80 + 12.816])
    assert (Expectation(99, 10, 1).high, Expectation(2, 10, 1).low) == (100, 0)


@pytest.mark.parametrize(("days", "variance"), [(10, 0), (28, 0), (29, 0.3), (128, 30), (9_999, 100)])
def test_after_four_weeks_each_day_without_a_rating_widens_the_band(days: int, variance: float) -> None:
    series = series_of(85, 90, 88)
    soon, later = (expect_rating(series, PRIOR, BUILDER.at(2) + timedelta(days=passed)) for passed in (1, days))

    assert later.spread**2 - soon.spread**2 == pytest.approx(variance)


def test_a_rating_far_off_moves_the_baseline_no_more_than_one_two_spreads_away() -> None:
    """From the third rating on."""
    series = series_of(80, 82)
    expected = expect_rating(series, PRIOR)
    far, near = expected.mean - 5 * expected.spread, expected.mean - 2 * expected.spread

    assert update_baseline(series, far, expected).baseline_total == pytest.approx(162 + near)
    assert update_baseline(series, near + 1, expected).baseline_total == pytest.approx(162 + near + 1)
    second = series_of(80)
    assert update_baseline(second, 10, expect_rating(second, PRIOR)).baseline_total == 90


def test_the_elements_of_a_relationship_share_one_spread() -> None:
    gaps = ElementGaps({"trust": RatingGap(4, 20.0), "fit": RatingGap(0, 0.0)}, forms=4, squared_deviations=30.0)
    prior = RatingPrior(mean=0, varies=3, spread=5, at_top=1, widening=0.01)
    s_squared = (3 * 5.7**2 + 30) / (3 + 3)

    expected = expect_relative(gaps, ("trust", "fit", "respect"), prior, 90)

    precision = 1 / 3**2 + 4 / s_squared
    assert expected["trust"].mean == pytest.approx(20 / s_squared / precision)
    assert expected["trust"].spread == pytest.approx(sqrt(s_squared + 1 / precision))
    assert expected["fit"] == expected["respect"]
    assert [expected["fit"].mean, expected["fit"].spread] == pytest.approx([0, sqrt(s_squared + 9)])


def test_from_session_to_session_the_probability_decays_towards_the_base_rate() -> None:
    assert [probability.decay(before) for before in (0, 0.5, 1)] == pytest.approx([0.03, 0.44, 0.85])


def test_a_weight_is_added_to_the_log_odds() -> None:
    assert probability.update(0.2, log(4)) == pytest.approx(0.5)
    assert probability.log_odds(0.8) == pytest.approx(log(4))
    assert 0 < probability.update(0, 5) < 1e-9


@pytest.mark.parametrize(("spreads", "weight"), [(0, -3.125), (-1, -0.625), (-2, 1.875), (-3, 4.375), (-4, 5), (1, -5)])
def test_a_rating_weighs_the_more_the_further_it_is_below_what_was_expected(spreads: float, weight: float) -> None:
    assert probability.rating_weight(80 + 10 * spreads, NOT_VARYING) == pytest.approx(weight)


def test_a_rating_weighs_less_while_little_is_known() -> None:
    unsure = Expectation(mean=80, spread=10, sureness=0.6)

    assert probability.rating_weight(60, unsure) == pytest.approx(1.5 * 2 - 1.5**2 / 2)


def test_fifteen_of_a_hundred_go_to_the_hypothesis_that_one_element_fell() -> None:
    assert probability.client_weight(1, 3) == pytest.approx(log(0.85 * exp(1) + 0.15 * exp(3)))
    assert probability.client_weight(1, None) == 1
    assert probability.single_element_weight([1, 2, 3]) == pytest.approx(log((exp(1) + exp(2) + exp(3)) / 3))


def test_a_clinician_notices_half_of_the_ruptures() -> None:
    assert probability.clinician_weight(2) == pytest.approx(log(0.5 + 0.5 * exp(2)))


def test_what_is_missed_is_twice_as_likely_in_a_rupture() -> None:
    prior = RatePrior(happened=1, not_happened=5)
    usual = (1 + 2) / (6 + 10)

    assert probability.missed_weight(True, 2, 10, prior) == pytest.approx(log(2))
    assert probability.missed_weight(False, 2, 10, prior) == pytest.approx(log((1 - 2 * usual) / (1 - usual)))
    assert probability.missed_weight(True, 0, 0, prior) == 0
    # No habit is taken for more extreme than 2 or 90 of 100, and nothing is missed more often than that in a rupture.
    assert probability.missed_weight(False, 0, 10_000, prior) == pytest.approx(log(0.96 / 0.98))
    assert probability.missed_weight(False, 600, 994, prior) == pytest.approx(log(0.1 / (1 - 601 / 1000)))
    assert probability.missed_weight(True, 9_999, 10_000, prior) == 0


@pytest.mark.parametrize(("talked_about", "extra"), [("not", 0.5), ("partly", 0), (None, 0), ("yes", -0.5)])
def test_a_tension_is_reported_in_forty_of_a_hundred_sessions_with_a_rupture_and_five_without(
    talked_about: TalkedAbout | None, extra: float
) -> None:
    assert probability.tension_weight("yes", talked_about) == pytest.approx(log(8) + extra)
    assert probability.tension_weight("a_little", talked_about) == pytest.approx((log(8) + extra) / 2)
    assert probability.tension_weight("none", talked_about) == pytest.approx(log(0.60 / 0.95))
    assert probability.tension_weight(None, talked_about) == 0


def test_each_kind_of_withdrawal_has_its_weight_and_decays() -> None:
    before = rated_sessions(9, 9, 9, 9)

    def withdrawal_after(*events: HistoryEvent) -> float:
        return fold_events([*before, *events]).withdrawal

    assert withdrawal_after(BUILDER.missed(4)) == 1
    assert withdrawal_after(BUILDER.cancelled(4, 23.9)) == 0.7
    assert withdrawal_after(BUILDER.cancelled(4, 24)) == 0
    assert withdrawal_after(BUILDER.completed(4, 34)) == 0.5
    assert withdrawal_after(BUILDER.completed(4, 35)) == 0
    assert withdrawal_after(BUILDER.completed(4), BUILDER.lapsed(4)) == 0.6
    assert withdrawal_after(BUILDER.missed(4), BUILDER.missed(5)) == pytest.approx(0.7 + 1)
    assert withdrawal_after(BUILDER.missed(4), BUILDER.cancelled(5, 3)) == pytest.approx(0.7 + 0.7)
    assert withdrawal_after(BUILDER.missed(4), BUILDER.completed(5)) == 0.5
    assert withdrawal_after(BUILDER.missed(4), BUILDER.completed(5, 20)) == pytest.approx(0.7 + 0.5)


def test_silence_counts_from_three_forms_on_of_which_three_in_five_were_answered() -> None:
    """Each lapse is followed by one that counts or does not."""

    def withdrawal_after(answered: int, lapsed: int) -> float:
        weeks = range(answered + lapsed)
        forms = [BUILDER.lapsed(week) if week < lapsed else BUILDER.feedback(week) for week in weeks]
        sessions = [BUILDER.completed(week) for week in weeks]
        last = answered + lapsed
        return fold_events([*sessions, *forms, BUILDER.completed(last), BUILDER.lapsed(last)]).withdrawal

    assert [withdrawal_after(*counts) for counts in ((2, 0), (3, 0), (3, 2), (4, 3), (5, 4))] == [0, 0.6, 0.6, 0, 0]


def test_three_late_cancellations_in_a_row_are_a_sign_and_two_are_not() -> None:
    late = [BUILDER.cancelled(week, 3) for week in range(4, 7)]

    assert fold_events([*rated_sessions(9, 9, 9, 9), *late[:2]]).open_episode is None
    assert fold_events([*rated_sessions(9, 9, 9, 9), *late]).open_episode is not None
