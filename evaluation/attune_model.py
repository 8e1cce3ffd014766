"""The service's model on all relationships at once: the twin of what the service computes event by event.

The formulas are written a second time, as arrays; their constants are the service's own. The weight of a sign is a log
likelihood ratio: how much likelier the sign is in a rupture than without one. The weights of a session update the
probability of a rupture, which decays from session to session.
"""

from dataclasses import dataclass, field

import numpy as np

from evaluation.prior import Prior, RatePrior, RatingPrior, element_gap
from evaluation.relationships import ABSENT, EXCUSED, HELD, BoolArray, FloatArray, Relationships
from services.alliance.domain.detection.baseline import (
    CLINIC_SPREAD_WEIGHT_RATINGS,
    DRIFT_AFTER_DAYS,
    DRIFT_VARIANCE_PER_DAY,
    MAX_BASELINE_SHIFT_SPREADS,
    MAX_DRIFT_VARIANCE,
    MIN_ELEMENT_SPREAD_POINTS,
    MIN_SPREAD_RATIO,
    UNCLIPPED_RATINGS,
)
from services.alliance.domain.detection.probability import (
    CLINICIAN_AWARENESS,
    FALSE_TENSION_REPORT_RATE,
    MAX_LOG_LIKELIHOOD_RATIO,
    MAX_RATE,
    MIN_RATE,
    RUPTURE_CONTINUATION_PROBABILITY,
    RUPTURE_DEPTH_SPREADS,
    RUPTURE_MISS_FACTOR,
    RUPTURE_START_PROBABILITY,
    SINGLE_ELEMENT_WEIGHT,
    TENSION_REPORT_RATE,
)

DRIFT_AFTER_WEEKS, DRIFT_VARIANCE_PER_WEEK = DRIFT_AFTER_DAYS / 7, DRIFT_VARIANCE_PER_DAY * 7  # points²


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

    def predict(self, spread: FloatArray, week: int) -> tuple[FloatArray, FloatArray]:
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


def surprise_and_sureness(ratings: FloatArray, prior: RatingPrior) -> tuple[FloatArray, FloatArray]:
    """Each rating's distance from the expected one, in predictive spreads, and the sureness of the expectation.

    NaN where there is no rating or no earlier one.
    """
    baseline = Baseline.empty(prior, (len(ratings), 1))
    surprise, sureness = np.full(ratings.shape, np.nan), np.full(ratings.shape, np.nan)
    for t in range(ratings.shape[1]):
        is_given = ~np.isnan(ratings[:, t])
        rating = np.where(is_given, ratings[:, t], 0)[:, None]
        spread = baseline.spread(baseline.baseline_level())
        mean, predictive_spread = baseline.predict(spread, t)
        has_expectation = is_given & (baseline.count > 0)
        surprise[has_expectation, t] = ((rating - mean)[:, 0] / predictive_spread)[has_expectation]
        sureness[has_expectation, t] = (spread / predictive_spread)[has_expectation]
        baseline.update(rating, is_given, mean, predictive_spread)
        baseline.last_week[is_given] = t
    return surprise, sureness


def rating_weight(surprise: FloatArray, sureness: FloatArray, depth_spreads: float) -> FloatArray:
    """The weight of a rating for a fall by `depth_spreads`: less where little was known before."""
    drop_spreads = depth_spreads * sureness
    return np.clip(-drop_spreads * surprise - drop_spreads**2 / 2, -MAX_LOG_LIKELIHOOD_RATIO, MAX_LOG_LIKELIHOOD_RATIO)


def single_element_weight(elements: FloatArray, totals: FloatArray, prior: Prior) -> FloatArray:
    """The weight for the hypothesis that one element fell and the others did not."""
    total_baseline = Baseline.empty(prior.client, (len(totals), 1))
    element_baseline = Baseline.empty(
        prior.element, (len(totals), elements.shape[2]), min_spread=MIN_ELEMENT_SPREAD_POINTS
    )
    weight = np.full(totals.shape, np.nan)
    for t in range(totals.shape[1]):
        is_given = ~np.isnan(totals[:, t])
        relative_ratings = np.where(is_given[:, None], element_gap(elements[:, t]), 0)
        spread = element_baseline.spread(total_baseline.baseline_level())
        mean, predictive_spread = element_baseline.predict(spread, t)
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
            rating, is_given, *total_baseline.predict(total_baseline.spread(total_baseline.baseline_level()), t)
        )
        total_baseline.last_week[is_given] = t
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


def tension_weight(tension_reported: FloatArray) -> FloatArray:
    """The weight of an answer to the direct question."""
    reported_weight, denied_weight = (
        np.log(TENSION_REPORT_RATE / FALSE_TENSION_REPORT_RATE),
        np.log((1 - TENSION_REPORT_RATE) / (1 - FALSE_TENSION_REPORT_RATE)),
    )
    return np.where(np.isnan(tension_reported), 0.0, np.where(tension_reported == 1, reported_weight, denied_weight))


@dataclass(frozen=True, slots=True)
class AttuneModel:
    """The model as a `Method`, with the signals it uses besides the client's total."""

    use_elements: bool = False
    use_clinician: bool = False
    use_silence: bool = False
    use_absence: bool = False
    use_tension_question: bool = False
    foreign_prior: Prior | None = field(default=None)
    """Another clinic's prior, to use instead of the own one."""

    def __call__(self, relationships: Relationships, prior: Prior) -> FloatArray:
        """The log-odds of a rupture after each appointment; NaN where no signal arrived that could raise an alarm."""
        prior = self.foreign_prior or prior
        observations = relationships.observations
        client_weights = self._client_weights(relationships, prior)
        clinician_weights = self._clinician_weights(relationships, prior)
        has_signal = ~np.isnan(observations.total) | (self.use_silence & (observations.appointment == HELD))
        has_signal |= self.use_absence & (observations.appointment == ABSENT)
        has_signal |= self.use_clinician & ~np.isnan(observations.clinician_total)
        clinician_waits = observations.clinician_first | ~observations.answered
        return _log_odds(
            client_weights, clinician_weights, has_signal, clinician_waits, observations.appointment == EXCUSED
        )

    def _client_weights(self, relationships: Relationships, prior: Prior) -> FloatArray:
        """The weight of the client's answer, silence or absence."""
        observations = relationships.observations
        weight = np.nan_to_num(
            rating_weight(*surprise_and_sureness(observations.total, prior.client), RUPTURE_DEPTH_SPREADS), nan=0.0
        )
        if self.use_elements:
            element_weight = np.nan_to_num(
                single_element_weight(observations.elements, observations.total, prior), nan=0.0
            )
            weight = np.logaddexp(
                np.log(1 - SINGLE_ELEMENT_WEIGHT) + weight, np.log(SINGLE_ELEMENT_WEIGHT) + element_weight
            )
        held, absent = observations.appointment == HELD, observations.appointment == ABSENT
        if self.use_silence:
            weight = weight + missed_weight(held & ~observations.answered, held, prior.silence)
        if self.use_absence:
            weight = weight + missed_weight(absent, held | absent, prior.absence)
        return weight + tension_weight(observations.tension_reported) if self.use_tension_question else weight

    def _clinician_weights(self, relationships: Relationships, prior: Prior) -> FloatArray:
        """The weight of the answer of a clinician, who notices only some of the ruptures."""
        observations = relationships.observations
        weight = np.zeros(observations.total.shape)
        if self.use_clinician:
            total_weight = rating_weight(
                *surprise_and_sureness(observations.clinician_total, prior.clinician), RUPTURE_DEPTH_SPREADS
            )
            weight += np.nan_to_num(
                np.log(1 - CLINICIAN_AWARENESS + CLINICIAN_AWARENESS * np.exp(total_weight)), nan=0.0
            )
        return (
            weight + tension_weight(observations.tension_reported_by_clinician) if self.use_tension_question else weight
        )


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


TOTAL = AttuneModel()
ALL = AttuneModel(use_elements=True, use_clinician=True, use_silence=True, use_absence=True)
DIRECT = AttuneModel(
    use_elements=True, use_clinician=True, use_silence=True, use_absence=True, use_tension_question=True
)
