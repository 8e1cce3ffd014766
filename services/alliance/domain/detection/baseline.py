"""What the next rating is expected to be, and how surprising the actual rating is.

The baseline is the relationship's own mean, shrunk towards the clinic's (empirical Bayes), so that the second rating
can already be a sign. The spread depends on the level, because near the top of the scale there is little room to
vary and a small drop means more; with every rating it becomes more the relationship's own. A rating counts as much as
the relationship is likely to be calm, and older ratings count a little less, so that the baseline follows a slow change
and not a rupture.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from math import copysign, sqrt
from typing import NamedTuple

from services.alliance.domain.policy.policy import RatingPrior
from services.alliance.domain.state.fast_replace import replace
from services.alliance.domain.state.ratings import ElementGaps, PairedRatings, Series
from shared.events import Element

RECENT_RATINGS_LIMIT = 6  # ratings in a trend: about as long as the slowest slide (Gumz 2012)
NEWEST_RATING_WEIGHT = 0.4  # the last one or two sessions make up half of the rolling score
CLINIC_SPREAD_WEIGHT_RATINGS = 1.5  # the clinic's spread weighs as much as this many ratings
MIN_SPREAD_RATIO = 0.35  # of the clinic's usual spread, at any level
MIN_ELEMENT_SPREAD_POINTS = 5.2  # an element rated in whole numbers cannot be steadier relative to the others
MAX_BASELINE_SHIFT_SPREADS = 3.0  # a rating further off moves the baseline no more than one at this distance
UNCLIPPED_RATINGS = 2  # the first ratings count in full, or the baseline would never reach an always-low client
MEMORY = 0.97  # of the weight of the ratings before remains with each new one
BAND_SPREADS = 1.2816  # on either side of the mean: this band contains four of five ratings
BELOW_EXPECTED_SPREADS = 0.5  # a rating this far below the mean is below what was expected
RISEN_SPREADS = 0.75  # if all remembered ratings are this far above the mean, the level has risen
DRIFT_AFTER_DAYS = 28  # after a longer gap the baseline becomes less certain
DRIFT_VARIANCE_PER_DAY = 0.3  # points² for each further day
MAX_DRIFT_VARIANCE = 100.0  # points², however long the gap


class Expectation(NamedTuple):
    """The next rating as predicted from the relationship's own past, in points of 0 to 100."""

    mean: float
    spread: float
    sureness: float
    """How much of the spread is variation from session to session, 0 to 1; the rest is a lack of data."""
    is_known: bool
    """Whether it rests on at least one own rating."""

    @property
    def low(self) -> float:
        return min(100.0, max(0.0, self.mean - BAND_SPREADS * self.spread))

    @property
    def high(self) -> float:
        return min(100.0, max(0.0, self.mean + BAND_SPREADS * self.spread))

    def surprise(self, rating: float) -> float:
        """How many spreads `rating` is above the expected mean; negative if it is below."""
        return (rating - self.mean) / self.spread


def expect_rating(series: Series, prior: RatingPrior, at: datetime | None = None) -> Expectation:
    """The predictive distribution of a rating given at the time `at`."""
    spread = _spread(prior, baseline_level(series, prior), series.baseline_weight, series.squared_deviations)
    return _predictor(prior, series.baseline_weight, spread, _drift_variance(series, at))(series.baseline_total)


def expect_relative(
    element_gaps: ElementGaps, elements: Iterable[Element], prior: RatingPrior, level: float
) -> dict[Element, Expectation]:
    """The predictive distribution of how far each element is above the others, in a relationship at this `level`."""
    spread = _spread(prior, level, element_gaps.weight, element_gaps.squared_deviations, MIN_ELEMENT_SPREAD_POINTS)
    weights = {element: element_gaps.weight_of(element) for element in elements}
    predict = {weight: _predictor(prior, weight, spread) for weight in set(weights.values())}  # nearly always one
    return {element: predict[weight](element_gaps.totals.get(element, 0.0)) for element, weight in weights.items()}


def baseline_level(series: Series, prior: RatingPrior) -> float:
    """The usual level, shrunk towards the clinic's as if every relationship had the clinic's spread."""
    prior_weight = (prior.spread / prior.varies) ** 2
    return (prior.mean * prior_weight + series.baseline_total) / (prior_weight + series.baseline_weight)


def append_rating(series: Series, rating: float, at: datetime, expected: Expectation | None = None) -> Series:
    """The series with one more rating and an unchanged baseline: `update_baseline` changes that."""
    is_below_expected = expected is not None and expected.surprise(rating) < -BELOW_EXPECTED_SPREADS
    return replace(
        series,
        ratings=series.ratings + 1,
        rolling_score=update_rolling_score(series.rolling_score, rating),
        last=rating,
        last_at=at,
        below_expected_streak=series.below_expected_streak + 1 if is_below_expected else 0,
        constant_streak=series.constant_streak + 1 if series.last == rating else 0,
        recent_ratings=(*series.recent_ratings, rating)[-RECENT_RATINGS_LIMIT:],
    )


def update_rolling_score(previous: float | None, value: float) -> float:
    """The exponentially weighted mean with one more value."""
    return value if previous is None else _shorten(previous + NEWEST_RATING_WEIGHT * (value - previous))


def append_pair(pairs: PairedRatings, client: float, clinician: float) -> PairedRatings:
    """Add a session that both have rated (Welford's sums, so that no history is needed)."""
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


def update_baseline(series: Series, rating: float, expected: Expectation, calm: float) -> Series:
    """Add the series' last rating to its baseline, weighted by the probability that all is `calm`."""
    weight = calm if series.baseline_weight else 1.0
    near = _clip(rating, expected)
    # The first ratings count in full, but one far from the other says nothing about the usual spread.
    counted = rating if series.ratings <= UNCLIPPED_RATINGS else near
    memory = 1 - weight * (1 - MEMORY)
    count, squared_deviation = memory * series.baseline_weight, 0.0
    if series.baseline_mean is not None:
        squared_deviation = (near - series.baseline_mean) ** 2 * weight * count / (count + weight)
    return replace(
        series,
        baseline_weight=count + weight,
        baseline_total=memory * series.baseline_total + weight * counted,
        squared_deviations=memory * series.squared_deviations + squared_deviation,
    )


def update_element_gaps(
    element_gaps: ElementGaps,
    relative_ratings: dict[Element, float],
    expected: dict[Element, Expectation],
    calm: float,
    ratings_before: int,
) -> ElementGaps:
    """Add the elements of one answer to their baselines, as in `update_baseline`; the elements share one spread."""
    weight = calm if element_gaps.weight else 1.0
    memory = 1 - weight * (1 - MEMORY)
    totals, weights = dict(element_gaps.totals), _element_weights(element_gaps, relative_ratings)
    squared_deviations = 0.0
    for element, relative_rating in relative_ratings.items():
        clipped = relative_rating if ratings_before < UNCLIPPED_RATINGS else _clip(relative_rating, expected[element])
        total, weight_before = totals.get(element, 0.0), weights.get(element, element_gaps.weight)
        count, mean = memory * weight_before, total / weight_before if weight_before else 0.0
        squared_deviations += (clipped - mean) ** 2 * weight * count / (count + weight)
        totals[element] = _shorten(memory * total + weight * clipped)
        if weights:
            weights[element] = count + weight
    return ElementGaps(
        totals,
        memory * element_gaps.weight + weight,
        weights,
        memory * element_gaps.squared_deviations + squared_deviations / len(relative_ratings),
    )


def _element_weights(element_gaps: ElementGaps, relative_ratings: dict[Element, float]) -> dict[Element, float]:
    """The weight of each element before one more form; empty if that has the same elements as all before it."""
    is_first, is_same = not element_gaps.weight, element_gaps.totals.keys() == relative_ratings.keys()
    if is_first or (is_same and not element_gaps.weights):
        return {}
    return {element: element_gaps.weight_of(element) for element in element_gaps.totals | relative_ratings}


def follow_rise(series: Series, expected: Expectation) -> Series:
    """The series with a baseline at its last ratings, if all of them show that the level has risen for good.

    A fall back to where it was would be as usual for years.
    """
    threshold = expected.mean + RISEN_SPREADS * expected.spread
    has_risen = series.ratings > RECENT_RATINGS_LIMIT and min(series.recent_ratings) > threshold
    return restart_baseline(series, RECENT_RATINGS_LIMIT) if has_risen else series


def restart_baseline(series: Series, ratings: int) -> Series:
    """The series with a baseline of nothing but its last `ratings`, as many of them as it remembers."""
    values = series.recent_ratings[-ratings:]
    if not values:
        return series
    mean = sum(values) / len(values)
    return replace(
        series,
        baseline_weight=len(values),
        baseline_total=sum(values),
        squared_deviations=sum((value - mean) ** 2 for value in values),
        below_expected_streak=0,
    )


def restart_element_gaps(element_gaps: ElementGaps, element_scores: dict[Element, float]) -> ElementGaps:
    """The usual differences of the elements as they have been lately, with the spread as it was."""
    total, others = sum(element_scores.values()), len(element_scores) - 1
    if others < 1:
        return element_gaps
    count = 1 / NEWEST_RATING_WEIGHT  # as many ratings as the rolling scores rest on
    totals = {
        element: count * (score - (total - score) / others)
        for element, score in element_scores.items()
        if element in element_gaps.totals
    }
    weight = min(count, element_gaps.weight)
    spread_weight = weight / element_gaps.weight if element_gaps.weight else 1.0
    weights = dict.fromkeys(totals, count) if weight < count else {}
    return ElementGaps(totals, weight, weights, element_gaps.squared_deviations * spread_weight)


def _spread(
    prior: RatingPrior, level: float, ratings: float, squared_deviations: float, min_spread: float = 0.0
) -> float:
    """The spread from session to session: at first the clinic's at this level, then more and more the own one."""
    clinic_spread = max(prior.at_top + prior.widening * (100 - level), min_spread, MIN_SPREAD_RATIO * prior.spread)
    return sqrt(
        (CLINIC_SPREAD_WEIGHT_RATINGS * clinic_spread**2 + squared_deviations)
        / (CLINIC_SPREAD_WEIGHT_RATINGS + max(ratings - 1, 0))
    )


def _predictor(
    prior: RatingPrior, count: float, spread: float, drift_variance: float = 0.0
) -> Callable[[float], Expectation]:
    """What is expected after `count` ratings, as a function of their total.

    The clinic's mean pulls the own one no further than chance explains, or a client who is unlike the others would stay
    a surprise (Efron and Morris 1972, limited translation).
    """
    prior_precision = 1 / (prior.varies * prior.varies)
    precision = prior_precision + count / (spread * spread)
    prior_share, chance = prior_precision / precision, spread / sqrt(count) if count else 0.0
    predictive_spread = sqrt(spread * spread + 1 / precision + drift_variance)
    sureness = spread / predictive_spread

    def predict(total: float) -> Expectation:
        if not count:
            return Expectation(prior.mean, predictive_spread, sureness, is_known=False)
        own = total / count
        pull = prior_share * (prior.mean - own)
        return Expectation(own + min(max(pull, -chance), chance), predictive_spread, sureness, is_known=True)

    return predict


def _drift_variance(series: Series, at: datetime | None) -> float:
    """The uncertainty that a long gap adds to the baseline, in points²."""
    if at is None or series.last_at is None:
        return 0.0
    return min(MAX_DRIFT_VARIANCE, DRIFT_VARIANCE_PER_DAY * max(0, (at - series.last_at).days - DRIFT_AFTER_DAYS))


def _clip(rating: float, expected: Expectation) -> float:
    shift, max_shift = rating - expected.mean, MAX_BASELINE_SHIFT_SPREADS * expected.spread
    return rating if abs(shift) <= max_shift else expected.mean + copysign(max_shift, shift)


def _shorten(points: float) -> float:
    """In thousandths of a point, because the scores and totals of eight elements are a tenth of the stored state."""
    return round(points * 1e3) / 1e3  # in half the time of `round(points, 3)`
