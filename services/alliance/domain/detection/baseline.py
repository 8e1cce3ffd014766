"""What the next rating is expected to be, and how surprising the one that came is.

The baseline is the relationship's own mean, shrunk towards the clinic's (empirical Bayes), so that the second rating
can already say something. The spread depends on the level, because near the top of the scale there is little room to
vary and a small drop means more; with every rating it becomes more the relationship's own.

This module and `belief` are all that has to be exchanged for another model.
"""

from dataclasses import dataclass
from datetime import datetime
from math import sqrt

from services.alliance.domain.policy.policy import RatingPrior
from services.alliance.domain.state.alliance import ElementGaps, PairedRatings, Series
from services.alliance.domain.state.fast_replace import replace
from shared.events import Element

RECENT_RATINGS_LIMIT = 6  # ratings that a trend is read from: about as long as the slowest slide (Gumz 2012)
NEWEST_RATING_WEIGHT = 0.4  # of the newest rating: half of the rolling score are the last one or two sessions
CLINIC_SPREAD_WEIGHT_RATINGS = (
    3.0  # ratings' worth of trust in the clinic's spread before the own one (evaluation: 2 to 4 are alike)
)
MIN_SPREAD_RATIO = 0.35  # of the clinic's usual spread, whatever the level
MIN_ELEMENT_SPREAD_POINTS = 5.7  # points: an element rated in whole numbers cannot be steadier beside the others
MAX_BASELINE_SHIFT_SPREADS = 2.0  # spreads; a rating further off moves the baseline no more than one so far off
UNCLIPPED_RATINGS = 2  # ratings that are taken as they are: an always-low client would never be reached otherwise
BAND_SPREADS = 1.2816  # spreads on either side that hold four of five ratings
BELOW_EXPECTED_SPREADS = 0.5  # spreads from which on a rating lies below what was expected
DRIFT_AFTER_DAYS, DRIFT_VARIANCE_PER_DAY = (
    28,
    0.3,
)  # a gap longer than this adds so many points² of doubt for each further day
MAX_DRIFT_VARIANCE = 100.0  # points²: no gap makes more doubtful than this


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the relationship's own past leads to expect of the next rating, in points of 0 to 100."""

    mean: float
    spread: float
    sureness: float
    """How much of the spread is from session to session, 0 to 1; the rest is that little is known yet."""

    @property
    def low(self) -> float:
        return min(100.0, max(0.0, self.mean - BAND_SPREADS * self.spread))

    @property
    def high(self) -> float:
        return min(100.0, max(0.0, self.mean + BAND_SPREADS * self.spread))

    def surprise(self, rating: float) -> float:
        """How many spreads `rating` lies above what was expected; negative below."""
        return (rating - self.mean) / self.spread


def expect_rating(series: Series, prior: RatingPrior, at: datetime | None = None) -> Expectation:
    """The predictive distribution of the next rating, given `at`."""
    spread = _spread(prior, baseline_level(series, prior), series.baseline_count, series.squared_deviations)
    return _predict(prior, series.baseline_count, series.baseline_total, spread, _drift_variance(series, at))


def expect_relative(element_gaps: ElementGaps, prior: RatingPrior, level: float) -> dict[Element, Expectation]:
    """The same of how far each element will lie above the others, where the whole is at `level`."""
    spread = _spread(prior, level, element_gaps.forms, element_gaps.squared_deviations, MIN_ELEMENT_SPREAD_POINTS)
    return {
        element: _predict(prior, gap.count, gap.total, spread, 0.0) for element, gap in element_gaps.elements.items()
    }


def baseline_level(series: Series, prior: RatingPrior) -> float:
    """What is usual here, shrunk towards the clinic's as if every relationship had its spread."""
    prior_weight = (prior.spread / prior.varies) ** 2
    return (prior.mean * prior_weight + series.baseline_total) / (prior_weight + series.baseline_count)


def append_expected_rating(series: Series, rating: float, expected: Expectation, at: datetime) -> Series:
    """The series with one more rating, its baseline as it was: `settle` moves that."""
    streak = series.below_expected_streak + 1 if expected.surprise(rating) < -BELOW_EXPECTED_SPREADS else 0
    return replace(append_rating(series, rating, at), below_expected_streak=streak)


def append_rating(series: Series, rating: float, at: datetime) -> Series:
    """The series with one more rating, of which nothing was expected."""
    return replace(
        series,
        ratings=series.ratings + 1,
        rolling_score=update_rolling_score(series.rolling_score, rating),
        last=rating,
        last_at=at,
        constant_streak=series.constant_streak + 1 if series.last == rating else 0,
        recent_ratings=(*series.recent_ratings, rating)[-RECENT_RATINGS_LIMIT:],
    )


def update_rolling_score(previous: float | None, value: float) -> float:
    """The exponentially weighted mean with one more value."""
    return value if previous is None else previous + NEWEST_RATING_WEIGHT * (value - previous)


def append_pair(pairs: PairedRatings, client: float, clinician: float) -> PairedRatings:
    """With what the two said of one more session (Welford's sums, so that no history is needed)."""
    count = pairs.count + 1
    client_deviation, clinician_deviation = client - pairs.client_mean, clinician - pairs.clinician_mean
    client_mean, clinician_mean = (
        pairs.client_mean + client_deviation / count,
        pairs.clinician_mean + clinician_deviation / count,
    )
    return PairedRatings(
        count=count,
        rolling_difference=update_rolling_score(pairs.rolling_difference if pairs.count else None, client - clinician),
        client_mean=client_mean,
        clinician_mean=clinician_mean,
        client_squared_deviations=pairs.client_squared_deviations + client_deviation * (client - client_mean),
        clinician_squared_deviations=pairs.clinician_squared_deviations
        + clinician_deviation * (clinician - clinician_mean),
        deviation_products=pairs.deviation_products + client_deviation * (clinician - clinician_mean),
    )


def update_baseline(series: Series, rating: float, expected: Expectation) -> Series:
    """Let `rating` into the baseline; done only outside episodes, for a baseline that follows a rupture misses it."""
    clipped = _clip(rating, series.baseline_count, expected)
    squared_deviation = (
        (clipped - series.baseline_mean) ** 2 * series.baseline_count / (series.baseline_count + 1)
        if series.baseline_mean is not None
        else 0.0
    )
    return replace(
        series,
        baseline_count=series.baseline_count + 1,
        baseline_total=series.baseline_total + clipped,
        squared_deviations=series.squared_deviations + squared_deviation,
    )


def update_element_gaps(
    element_gaps: ElementGaps, relative_ratings: dict[Element, float], expected: dict[Element, Expectation]
) -> ElementGaps:
    """The same of the elements of one answer, which share a spread."""
    gaps = dict(element_gaps.elements)
    squared_deviations = 0.0
    for element, relative_rating in relative_ratings.items():
        gap = gaps[element]
        clipped = _clip(relative_rating, gap.count, expected[element])
        squared_deviations += (clipped - gap.mean) ** 2 * gap.count / (gap.count + 1)
        gaps[element] = replace(gap, count=gap.count + 1, total=gap.total + clipped)
    return ElementGaps(
        gaps, element_gaps.forms + 1, element_gaps.squared_deviations + squared_deviations / len(relative_ratings)
    )


def _spread(
    prior: RatingPrior, level: float, ratings: int, squared_deviations: float, min_spread: float = 0.0
) -> float:
    """From session to session: the clinic's at this level, then more and more the own one."""
    clinic_spread = max(prior.at_top + prior.widening * (100 - level), min_spread, MIN_SPREAD_RATIO * prior.spread)
    return sqrt(
        (CLINIC_SPREAD_WEIGHT_RATINGS * clinic_spread**2 + squared_deviations)
        / (CLINIC_SPREAD_WEIGHT_RATINGS + max(ratings - 1, 0))
    )


def _predict(prior: RatingPrior, count: int, total: float, spread: float, drift_variance: float) -> Expectation:
    """Nobody is expected to rate higher than they have: an always-low client has not fallen."""
    precision = 1 / prior.varies**2 + count / spread**2
    mean = (prior.mean / prior.varies**2 + total / spread**2) / precision
    mean = min(mean, total / count) if count else mean
    predictive_spread = sqrt(spread**2 + 1 / precision + drift_variance)
    return Expectation(mean, predictive_spread, spread / predictive_spread)


def _drift_variance(series: Series, at: datetime | None) -> float:
    """How much more doubtful the baseline is after a long gap, in points²."""
    if at is None or series.last_at is None:
        return 0.0
    return min(MAX_DRIFT_VARIANCE, DRIFT_VARIANCE_PER_DAY * max(0, (at - series.last_at).days - DRIFT_AFTER_DAYS))


def _clip(rating: float, ratings: int, expected: Expectation) -> float:
    if ratings < UNCLIPPED_RATINGS:
        return rating
    max_shift = MAX_BASELINE_SHIFT_SPREADS * expected.spread
    return min(max(rating, expected.mean - max_shift), expected.mean + max_shift)
