"""The methods to compare with: the rules of today's products, control charts and methods that find change points.

Each uses only the client's total and gives one score per appointment, the higher the more alarming; NaN where it gives
none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from river.drift import ADWIN

from evaluation.measures import Method
from evaluation.previous_model import CLIENT_PRIOR
from evaluation.simulation.truth import BoolArray, FloatArray, IntArray, Relationships

MIN_PAST_RATINGS = 3  # ratings before a chart on the own spread gives a score
MIN_SPREAD_POINTS = 1.25  # one answer of eight lower by one; with a smaller own spread any change would be an alarm
EWMA_WEIGHT = 0.5  # of the newest rating: a V lasts one to three sessions
CUSUM_ALLOWANCE_SPREADS = 0.5  # quickest for shifts of one spread
PAGE_HINKLEY_DELTA_POINTS = 2.5
ADWIN_DELTAS = (0.9, 0.6, 0.4, 0.25, 0.15, 0.08, 0.04, 0.02, 0.01, 0.002)  # from bold to river's default
CHANGE_POINT_HAZARD = 0.03  # probability of a change point, per session
MAX_NEW_RUN_RATINGS = 3  # ratings since a change within which it counts as new
MIN_LOSS_POINTS, MIN_LOSS_SHARE, MIN_LOSS_T = 10.0, 0.25, 2.78  # Tang and DeRubeis 1999; share of the rating before


def below_cut_off(relationships: Relationships) -> FloatArray:
    """The rule of today's products: a session is rated below 36 of 40."""
    return 100 - relationships.observations.total


def drop_since_last(relationships: Relationships) -> FloatArray:
    """The rule of today's products: a session is rated a point of 40 lower than the last."""
    last = _previous_rating(relationships.observations.total)
    return last - relationships.observations.total


def own_mean_in_points(relationships: Relationships) -> FloatArray:
    """The simplest reasonable rule: an EWMA of the distance from the own mean, without any spread."""
    return _ewma(_own_mean_and_spread(relationships.observations.total, 1)[0] - relationships.observations.total)


def shewhart(relationships: Relationships) -> FloatArray:
    """The distance from the own mean in own spreads."""
    return _own_drop_in_spreads(relationships.observations.total)


def ewma_chart(relationships: Relationships) -> FloatArray:
    return _ewma(_own_drop_in_spreads(relationships.observations.total))


def cusum_chart(relationships: Relationships) -> FloatArray:
    return _cusum(_own_drop_in_spreads(relationships.observations.total), CUSUM_ALLOWANCE_SPREADS)


def sudden_loss(relationships: Relationships) -> FloatArray:
    """The criteria of Tang and DeRubeis that need no later ratings: large, a quarter of the level before, above noise.

    The means before and after are of up to three ratings; the weakest of the three criteria is the score.
    """
    total = relationships.observations.total
    scores = np.full(total.shape, np.nan)
    for row, ratings in enumerate(total):
        is_given = np.flatnonzero(~np.isnan(ratings))
        scores[row, is_given] = [_largest_loss(ratings[is_given[: position + 1]]) for position in range(len(is_given))]
    return scores


def _largest_loss(ratings: FloatArray) -> float:
    """The largest loss that ends in the last one, two or three ratings."""
    losses = [0.0]
    for ratings_after in (1, 2, 3):
        before = ratings[-ratings_after - 3 : -ratings_after]
        if len(before) < 2:
            break
        recent = ratings[-ratings_after:]
        loss = float(before.mean() - recent.mean())
        residuals = np.concatenate([before - before.mean(), recent - recent.mean()])
        pooled_spread = max(float(np.sqrt((residuals**2).sum() / max(1, len(residuals) - 2))), MIN_SPREAD_POINTS)
        t_statistic = loss / (pooled_spread * np.sqrt(1 / len(before) + 1 / ratings_after))
        losses.append(
            min(
                loss / MIN_LOSS_POINTS,
                loss / max(MIN_LOSS_SHARE * ratings[-ratings_after - 1], 1.0),
                t_statistic / MIN_LOSS_T,
            )
        )
    return max(losses)


def page_hinkley(relationships: Relationships) -> FloatArray:
    """Page-Hinkley for falls, as river computes it, from the second rating on: the statistic itself as the score."""
    total = relationships.observations.total
    count, running_mean = np.zeros(len(total)), np.zeros(len(total))
    cumulative_sum, highest = np.zeros(len(total)), np.full(len(total), -np.inf)
    scores = np.full(total.shape, np.nan)
    for t in range(total.shape[1]):
        is_given = ~np.isnan(total[:, t])
        rating = np.where(is_given, total[:, t], 0)
        count += is_given
        running_mean = np.where(is_given, running_mean + (rating - running_mean) / np.maximum(count, 1), running_mean)
        cumulative_sum = np.where(
            is_given, cumulative_sum + rating - running_mean + PAGE_HINKLEY_DELTA_POINTS, cumulative_sum
        )
        highest = np.where(is_given, np.maximum(highest, cumulative_sum), highest)
        has_score = is_given & (count >= 2)
        scores[has_score, t] = (highest - cumulative_sum)[has_score]
    return scores


def adwin(relationships: Relationships) -> FloatArray:
    """ADWIN from river, checked at every rating: the confidence at which it detects a fall."""
    return np.array([_adwin(ratings) for ratings in relationships.observations.total])


def _adwin(ratings: FloatArray) -> FloatArray:
    scores = np.where(np.isnan(ratings), np.nan, 0.0)
    for rank, delta in enumerate(ADWIN_DELTAS, start=1):
        detector = ADWIN(delta=delta, clock=1, min_window_length=1, grace_period=2)
        for t, rating in enumerate(ratings):
            if np.isnan(rating):
                continue
            mean_before = detector.estimation
            detector.update(float(rating))
            if detector.drift_detected and detector.estimation < mean_before:
                scores[t] = rank + 1e-4 * (
                    mean_before - detector.estimation
                )  # of equal ranks the larger fall scores higher
    return scores


def change_point(relationships: Relationships) -> FloatArray:
    """Bayesian online change point detection (Adams and MacKay 2007).

    The score is the probability that a lower level began in the last three ratings.
    """
    total = relationships.observations.total
    run_lengths = _RunLengths.start(*total.shape)
    scores = np.full(total.shape, np.nan)
    for t in range(total.shape[1]):
        is_given = ~np.isnan(total[:, t])
        if is_given.any():
            run_lengths.update(np.where(is_given, total[:, t], 0), is_given)
            has_score = is_given & (run_lengths.ratings > 1)
            scores[has_score, t] = run_lengths.probability_of_new_low()[has_score]
    return scores


@dataclass
class _RunLengths:
    """For each run length 0, 1, 2…: the probability that the present level has lasted so long, and its total."""

    probability: FloatArray
    total: FloatArray
    ratings: IntArray

    @classmethod
    def start(cls, count: int, max_length: int) -> "_RunLengths":
        probability = np.zeros((count, max_length + 1))
        probability[:, 0] = 1
        return cls(probability, np.zeros_like(probability), np.zeros(count, int))

    def update(self, rating: FloatArray, is_given: BoolArray) -> None:
        prior = CLIENT_PRIOR
        noise, prior_variance, lengths = prior.spread**2, prior.varies**2, np.arange(self.probability.shape[1])
        precision = 1 / prior_variance + lengths / noise
        mean, variance = (prior.mean / prior_variance + self.total / noise) / precision, noise + 1 / precision
        likelihood = np.exp(-((rating[:, None] - mean) ** 2) / (2 * variance)) / np.sqrt(variance)
        lengthened = _shift_length(self.probability * likelihood * (1 - CHANGE_POINT_HAZARD))
        lengthened[:, 1] += np.where(
            self.ratings > 0, CHANGE_POINT_HAZARD * self.probability.sum(axis=1) * likelihood[:, 0], 0
        )
        lengthened /= np.maximum(lengthened.sum(axis=1, keepdims=True), 1e-300)
        self.probability = np.where(is_given[:, None], lengthened, self.probability)
        self.total = np.where(is_given[:, None], _shift_length(self.total + rating[:, None]), self.total)
        self.ratings = self.ratings + is_given

    def probability_of_new_low(self) -> FloatArray:
        """The probability that the present level began lately and is lower than the ratings before."""
        lengths, ratings = np.arange(self.probability.shape[1]), self.ratings[:, None]
        total_of_all = np.take_along_axis(self.total, ratings, axis=1)
        mean_before = (total_of_all - self.total) / np.maximum(ratings - lengths, 1)
        is_lower = self.total / np.maximum(lengths, 1) < mean_before
        return (
            self.probability * ((lengths >= 1) & (lengths <= MAX_NEW_RUN_RATINGS) & (lengths < ratings) & is_lower)
        ).sum(axis=1)


def _shift_length(by_length: FloatArray) -> FloatArray:
    """Move the value of each run length to the length longer by one."""
    return np.concatenate([np.zeros((len(by_length), 1)), by_length[:, :-1]], axis=1)


def _own_mean_and_spread(ratings: FloatArray, min_ratings: int) -> tuple[FloatArray, FloatArray]:
    """The mean and spread of all earlier ratings; the mean is NaN until there are `min_ratings` of them."""
    is_given = ~np.isnan(ratings)
    count = np.cumsum(is_given, axis=1) - is_given
    filled = np.where(is_given, ratings, 0)
    total, squares = np.cumsum(filled, axis=1) - filled, np.cumsum(filled**2, axis=1) - filled**2
    mean = total / np.maximum(count, 1)
    variance = np.maximum(squares - count * mean**2, 0) / np.maximum(count - 1, 1)
    return np.where(count >= min_ratings, mean, np.nan), np.sqrt(variance)


def _own_drop_in_spreads(ratings: FloatArray) -> FloatArray:
    mean, spread = _own_mean_and_spread(ratings, MIN_PAST_RATINGS)
    return (mean - ratings) / np.maximum(spread, MIN_SPREAD_POINTS)


def _accumulate(surprise: FloatArray, step: Callable[[FloatArray, FloatArray], FloatArray]) -> FloatArray:
    level = np.zeros(len(surprise))
    scores = np.full(surprise.shape, np.nan)
    for t in range(surprise.shape[1]):
        is_given = ~np.isnan(surprise[:, t])
        level = np.where(is_given, step(level, np.where(is_given, surprise[:, t], 0)), level)
        scores[is_given, t] = level[is_given]
    return scores


def _ewma(surprise: FloatArray) -> FloatArray:
    return _accumulate(surprise, lambda level, new: level + EWMA_WEIGHT * (new - level))


def _cusum(surprise: FloatArray, allowance: float) -> FloatArray:
    return _accumulate(surprise, lambda level, new: np.maximum(0, level + new - allowance))


def _previous_rating(ratings: FloatArray) -> FloatArray:
    """The last rating before each session."""
    last = np.full(ratings.shape, np.nan)
    for t in range(1, ratings.shape[1]):
        last[:, t] = np.where(np.isnan(ratings[:, t - 1]), last[:, t - 1], ratings[:, t - 1])
    return last


METHODS: Mapping[str, Method] = {
    "cut-off": below_cut_off,
    "drop since last": drop_since_last,
    "Shewhart, own spread": shewhart,
    "EWMA, own spread": ewma_chart,
    "CUSUM, own spread": cusum_chart,
    "sudden loss": sudden_loss,
    "Page-Hinkley": page_hinkley,
    "ADWIN": adwin,
    "change point": change_point,
    "own mean in points": own_mean_in_points,
}
OWN_MEAN = "own mean in points"
