"""The model of the service before this one, on all relationships at once: what bars call the previous model.

Its formulas as arrays, with the constants and the default prior that it was shipped with. The weight of a sign is a log
likelihood ratio: how much likelier the sign is in a rupture than without one. The weights of a session update the
probability of a rupture, which decays from session to session.

It was compared once with the service's own fold at commit afdaea8, on 300 simulated relationships of each of three
worlds with and without the question, at thresholds that no probability reaches and until a direct report opened an
episode: all 16,000 log-odds agreed to 1e-11. It differs in two ways: an open episode stops the learning of that fold
and not of this model, and the length of a gap is rounded to weeks here (0.06 at most, after four weeks without a form).
"""

from dataclasses import dataclass

import numpy as np

from evaluation.simulation.truth import (
    A_LITTLE,
    ABSENT,
    EXCUSED,
    FULLY,
    HELD,
    NONE,
    NOT,
    NOT_ANSWERED,
    BoolArray,
    FloatArray,
    IntArray,
    Relationships,
)

RUPTURE_START_PROBABILITY = 0.03  # per session, if there was no rupture before
RUPTURE_CONTINUATION_PROBABILITY = 0.85  # per session, that a rupture goes on
RUPTURE_DEPTH_SPREADS = 2.5  # assumed depth of a rupture
CLINICIAN_AWARENESS = 0.5  # of the ruptures are noticed by the clinician
SINGLE_ELEMENT_WEIGHT = 0.15  # of a client's answer goes to the hypothesis that a single element dropped
MAX_LOG_LIKELIHOOD_RATIO = 5.0  # no single sign weighs more, for or against
RUPTURE_MISS_FACTOR = 2.0  # in a rupture, forms and sessions are missed this many times as often
MIN_RATE, MAX_RATE = 0.02, 0.9
TENSION_REPORT_RATE, FALSE_TENSION_REPORT_RATE = 0.4, 0.05  # in a rupture, and without one
TALKED_ABOUT_WEIGHT = 0.5  # more if a tension was not talked about, less if it was
CLINIC_SPREAD_WEIGHT_RATINGS = 3.0  # the clinic's spread weighs as much as this many ratings
MIN_SPREAD_RATIO = 0.35  # of the clinic's usual spread
MIN_ELEMENT_SPREAD_POINTS = 5.7
MAX_BASELINE_SHIFT_SPREADS = 2.0  # a rating further off moves the baseline no more than one at this distance
UNCLIPPED_RATINGS = 2
DRIFT_AFTER_WEEKS, DRIFT_VARIANCE_PER_WEEK, MAX_DRIFT_VARIANCE = 4, 2.1, 100.0  # points²


@dataclass(frozen=True, slots=True)
class RatingPrior:
    """One rater's ratings, in points of 0 to 100."""

    mean: float
    varies: float
    """Standard deviation of the level between relationships."""
    spread: float
    """Standard deviation within a relationship, on average."""
    at_top: float
    """The spread at a level of 100."""
    widening: float
    """How much the spread grows per point below 100."""


@dataclass(frozen=True, slots=True)
class RatePrior:
    """How often something happens, as the counts that a new relationship starts with."""

    happened: float
    not_happened: float


CLIENT_PRIOR = RatingPrior(mean=88.5, varies=10.5, spread=6.2, at_top=3.6, widening=0.15)
CLINICIAN_PRIOR = RatingPrior(mean=87.5, varies=7.5, spread=6.3, at_top=3.8, widening=0.15)
ELEMENT_PRIOR = RatingPrior(mean=0.0, varies=3.1, spread=4.8, at_top=3.3, widening=0.075)
"""How far an element is above the mean of the others."""
SILENCE_PRIOR, ABSENCE_PRIOR = RatePrior(1.0, 5.0), RatePrior(1.0, 12.0)


@dataclass
class Baseline:
    """The baseline of one rater's total, or of elements that share a spread, learned rating by rating."""

    prior: RatingPrior
    min_spread: float
    count: FloatArray
    total: FloatArray
    squared_deviations: FloatArray
    last_week: FloatArray
    """The week of the last rating; NaN before the first, and where gaps do not matter."""

    @classmethod
    def empty(cls, prior: RatingPrior, shape: tuple[int, int], min_spread: float = 0.0) -> "Baseline":
        return cls(
            prior, min_spread, np.zeros(shape[0]), np.zeros(shape), np.zeros(shape[0]), np.full(shape[0], np.nan)
        )

    def spread(self, level: FloatArray) -> FloatArray:
        """The spread from rating to rating: first the clinic's at this level, then more and more the own one."""
        clinic_spread = self.prior.at_top + self.prior.widening * (100 - level)
        lower_limit = max(self.min_spread, MIN_SPREAD_RATIO * self.prior.spread)
        sum_of_squares = (
            CLINIC_SPREAD_WEIGHT_RATINGS * np.maximum(clinic_spread, lower_limit) ** 2 + self.squared_deviations
        )
        return np.sqrt(sum_of_squares / (CLINIC_SPREAD_WEIGHT_RATINGS + np.maximum(self.count - 1, 0)))

    def baseline_level(self) -> FloatArray:
        """The mean so far, shrunk towards the clinic's as if every relationship had the clinic's spread."""
        prior_weight = (self.prior.spread / self.prior.varies) ** 2
        return (self.prior.mean * prior_weight + self.total[:, 0]) / (prior_weight + self.count)

    def predict(self, spread: FloatArray, week: IntArray) -> tuple[FloatArray, FloatArray]:
        """Mean and spread of the predicted next rating; the mean is never above the relationship's own mean so far."""
        precision = 1 / self.prior.varies**2 + self.count / spread**2
        mean = (self.prior.mean / self.prior.varies**2 + self.total / spread[:, None] ** 2) / precision[:, None]
        own_mean: FloatArray = self.total / np.maximum(self.count, 1)[:, None]
        mean = np.where((self.count > 0)[:, None], np.minimum(mean, own_mean), mean)
        weeks_beyond = np.nan_to_num(week - self.last_week - DRIFT_AFTER_WEEKS, nan=0.0)
        drift_variance = np.clip(DRIFT_VARIANCE_PER_WEEK * weeks_beyond, 0, MAX_DRIFT_VARIANCE)
        return mean, np.sqrt(spread**2 + 1 / precision + drift_variance)

    def update(self, ratings: FloatArray, is_given: BoolArray, mean: FloatArray, predictive_spread: FloatArray) -> None:
        """Add the ratings that were given to the baseline."""
        max_shift = MAX_BASELINE_SHIFT_SPREADS * predictive_spread[:, None]
        is_clipped = (self.count >= UNCLIPPED_RATINGS)[:, None]
        clipped = np.where(is_clipped, np.clip(ratings, mean - max_shift, mean + max_shift), ratings)
        mean_before: FloatArray = self.total / np.maximum(self.count, 1)[:, None]
        squared_deviation = ((clipped - mean_before) ** 2).mean(axis=1) * self.count / (self.count + 1)
        self.squared_deviations += np.where(is_given, squared_deviation, 0)
        self.total += np.where(is_given[:, None], clipped, 0)
        self.count += is_given


def surprise_and_sureness(ratings: FloatArray, weeks: IntArray, prior: RatingPrior) -> tuple[FloatArray, FloatArray]:
    """Each rating's distance from the expected one, in predictive spreads, and the sureness of the expectation.

    NaN where there is no rating or no earlier one.
    """
    baseline = Baseline.empty(prior, (len(ratings), 1))
    surprise, sureness = np.full(ratings.shape, np.nan), np.full(ratings.shape, np.nan)
    for t in range(ratings.shape[1]):
        is_given = ~np.isnan(ratings[:, t])
        rating = np.where(is_given, ratings[:, t], 0)[:, None]
        spread = baseline.spread(baseline.baseline_level())
        mean, predictive_spread = baseline.predict(spread, weeks[:, t])
        has_expectation = is_given & (baseline.count > 0)
        surprise[has_expectation, t] = ((rating - mean)[:, 0] / predictive_spread)[has_expectation]
        sureness[has_expectation, t] = (spread / predictive_spread)[has_expectation]
        baseline.update(rating, is_given, mean, predictive_spread)
        baseline.last_week[is_given] = weeks[is_given, t]
    return surprise, sureness


def rating_weight(surprise: FloatArray, sureness: FloatArray, depth_spreads: float) -> FloatArray:
    """The weight of a rating for a fall by `depth_spreads`: less where little was known before."""
    drop_spreads = depth_spreads * sureness
    return np.clip(-drop_spreads * surprise - drop_spreads**2 / 2, -MAX_LOG_LIKELIHOOD_RATIO, MAX_LOG_LIKELIHOOD_RATIO)


def single_element_weight(elements: FloatArray, totals: FloatArray, weeks: IntArray) -> FloatArray:
    """The weight for the hypothesis that one element fell and the others did not."""
    total_baseline = Baseline.empty(CLIENT_PRIOR, (len(totals), 1))
    element_baseline = Baseline.empty(
        ELEMENT_PRIOR, (len(totals), elements.shape[2]), min_spread=MIN_ELEMENT_SPREAD_POINTS
    )
    weight = np.full(totals.shape, np.nan)
    for t in range(totals.shape[1]):
        is_given = ~np.isnan(totals[:, t])
        relative_ratings = np.where(is_given[:, None], _element_gap(elements[:, t]), 0)
        spread = element_baseline.spread(total_baseline.baseline_level())
        mean, predictive_spread = element_baseline.predict(spread, weeks[:, t])
        has_expectation = is_given & (element_baseline.count > 0)
        element_weights = rating_weight(
            (relative_ratings - mean) / predictive_spread[:, None],
            (spread / predictive_spread)[:, None],
            RUPTURE_DEPTH_SPREADS,
        )
        weight[has_expectation, t] = np.log(np.exp(element_weights).mean(axis=1))[has_expectation]
        element_baseline.update(relative_ratings, is_given, mean, predictive_spread)
        rating = np.where(is_given, totals[:, t], 0)[:, None]
        total_baseline.update(
            rating,
            is_given,
            *total_baseline.predict(total_baseline.spread(total_baseline.baseline_level()), weeks[:, t]),
        )
        total_baseline.last_week[is_given] = weeks[is_given, t]
    return weight


def missed_weight(was_missed: BoolArray, asked: BoolArray, prior: RatePrior) -> FloatArray:
    """The weight of a form or session that was missed, or was not, given the relationship's usual rate."""
    asked_before: FloatArray = np.cumsum(asked, axis=1) - asked
    missed_share = (prior.happened + np.cumsum(was_missed, axis=1) - was_missed) / (
        prior.happened + prior.not_happened + asked_before
    )
    usual_rate = np.clip(missed_share, MIN_RATE, MAX_RATE)
    rupture_rate = np.minimum(MAX_RATE, RUPTURE_MISS_FACTOR * usual_rate)
    weight = np.where(was_missed, np.log(rupture_rate / usual_rate), np.log((1 - rupture_rate) / (1 - usual_rate)))
    return np.where(asked & (asked_before > 0), weight, 0.0)


def tension_weight(tension: IntArray, talked_about: IntArray) -> FloatArray:
    """The weight of an answer to the direct question."""
    denied = np.log((1 - TENSION_REPORT_RATE) / (1 - FALSE_TENSION_REPORT_RATE))
    reported = np.log(TENSION_REPORT_RATE / FALSE_TENSION_REPORT_RATE)
    reported = reported + TALKED_ABOUT_WEIGHT * (1.0 * (talked_about == NOT) - (talked_about == FULLY))
    reported = np.where(tension == A_LITTLE, reported / 2, reported)
    return np.where(tension == NOT_ANSWERED, 0.0, np.where(tension == NONE, denied, reported))


def previous_model(relationships: Relationships) -> FloatArray:
    """The log-odds of a rupture after each appointment; NaN where no signal arrived that could raise an alarm."""
    observations = relationships.observations
    weeks = relationships.truth.course.week
    held, absent = observations.appointment == HELD, observations.appointment == ABSENT
    return _log_odds(
        _client_weights(relationships, weeks)
        + missed_weight(held & ~observations.answered, held, SILENCE_PRIOR)
        + missed_weight(absent, held | absent, ABSENCE_PRIOR),
        _clinician_weights(relationships, weeks),
        held | absent,
        observations.clinician_first | ~observations.answered,
        observations.appointment == EXCUSED,
    )


def _client_weights(relationships: Relationships, weeks: IntArray) -> FloatArray:
    """The weight of the client's answer."""
    observations = relationships.observations
    total = rating_weight(*surprise_and_sureness(observations.total, weeks, CLIENT_PRIOR), RUPTURE_DEPTH_SPREADS)
    of_one_element = single_element_weight(observations.elements, observations.total, weeks)
    weight = np.logaddexp(
        np.log(1 - SINGLE_ELEMENT_WEIGHT) + np.nan_to_num(total, nan=0.0),
        np.log(SINGLE_ELEMENT_WEIGHT) + np.nan_to_num(of_one_element, nan=0.0),
    )
    return weight + tension_weight(observations.tension, observations.talked_about)


def _clinician_weights(relationships: Relationships, weeks: IntArray) -> FloatArray:
    """The weight of the answer of a clinician, who notices only some of the ruptures."""
    observations = relationships.observations
    total = rating_weight(
        *surprise_and_sureness(observations.clinician_total, weeks, CLINICIAN_PRIOR), RUPTURE_DEPTH_SPREADS
    )
    weight = np.log(1 - CLINICIAN_AWARENESS + CLINICIAN_AWARENESS * np.exp(np.nan_to_num(total, nan=0.0)))
    return weight + tension_weight(observations.clinician_tension, observations.clinician_talked_about)


def _element_gap(elements: FloatArray) -> FloatArray:
    """How far each element lies above the mean of the other elements."""
    count = elements.shape[-1]
    return (elements - elements.mean(axis=-1, keepdims=True)) * count / (count - 1)


def _log_odds(
    client_weights: FloatArray,
    clinician_weights: FloatArray,
    has_signal: BoolArray,
    clinician_waits: BoolArray,
    is_excused: BoolArray,
) -> FloatArray:
    """The highest log-odds of each session: where `clinician_waits`, only those with the clinician's answer count."""
    probability = np.zeros(len(client_weights))
    scores = np.full(client_weights.shape, np.nan)
    for t in range(client_weights.shape[1]):
        decayed = np.where(
            is_excused[:, t],
            probability,
            RUPTURE_START_PROBABILITY * (1 - probability) + RUPTURE_CONTINUATION_PROBABILITY * probability,
        )
        log_odds_before = np.log(np.maximum(decayed, 1e-12)) - np.log1p(-decayed)
        log_odds_after = log_odds_before + client_weights[:, t] + clinician_weights[:, t]
        highest_log_odds = np.where(
            clinician_waits[:, t], log_odds_after, np.maximum(log_odds_after, log_odds_before + client_weights[:, t])
        )
        if t > 0:  # the first session never raises an alarm
            scores[has_signal[:, t], t] = highest_log_odds[has_signal[:, t]]
        probability = 1 / (1 + np.exp(-log_odds_after))
    return scores
