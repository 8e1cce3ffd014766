"""Our model on all relationships at once: the twin of what the service computes fact by fact.

Every sign is weighed by how much likelier it is in a rupture than without one, as the logarithm of that ratio; the
weights of a session add up to the belief that there is a rupture, which fades from session to session.
"""

from dataclasses import dataclass, field

import numpy as np

from evaluation.prior import Habit, Prior, Usual, beside_the_others
from evaluation.relationships import AWAY, EXCUSED, HELD, Flags, Numbers, Relationships

BEGINS, STAYS = 0.03, 0.85  # a session: chance of a rupture where there was none, and of its going on
DEPTH = 2.5  # spreads: what a rupture is taken to be (Gumz 2012: one to over four)
SEES = 0.5  # of ruptures, the clinician (field research)
FEW = 0.15  # of the weight of a client's answer goes to the idea that a single element fell
LIMIT = 5.0  # no single sign weighs more, for or against
LIKELIER = 2.0  # times a form is missing or a session missed in a rupture
TOLD, TOLD_FALSELY = 0.4, 0.05  # how often a tension is told of in a rupture, and without one
OWN = 3.0  # ratings' worth of trust in the clinic's spread before the own one
REACH = 2.0  # spreads; a rating further off moves the baseline no more than one so far off
FIRM = 2  # ratings that are taken as they are: an always-low client would never be reached otherwise
NARROWEST = 0.35  # of the clinic's usual spread, whatever the level
COARSE = 5.7  # points: an element rated in whole numbers cannot be steadier beside the others
SETTLED_WEEKS, WANDERS = 4, 2.1  # a gap longer than this adds so many points² of doubt for each further week
FORGOTTEN = 100.0  # points²: no gap makes more doubtful than this
RARELY, OFTEN = 0.02, 0.9  # habits further out are not believed


@dataclass
class Baseline:
    """What is usual, of one rater's total or of elements that share a spread, learned rating by rating."""

    usual: Usual
    floor: float
    ratings: Numbers
    total: Numbers
    scatter: Numbers
    last: Numbers
    """When the last rating was; NaN where gaps do not matter, or there was none."""

    @classmethod
    def empty(cls, usual: Usual, shape: tuple[int, int], floor: float = 0.0) -> "Baseline":
        return cls(usual, floor, np.zeros(shape[0]), np.zeros(shape), np.zeros(shape[0]), np.full(shape[0], np.nan))

    def spread(self, level: Numbers) -> Numbers:
        """From rating to rating: the clinic's at this level, then more and more the own one."""
        clinic_spread = self.usual.at_top + self.usual.widening * (100 - level)
        lower_limit = max(self.floor, NARROWEST * self.usual.spread)
        sum_of_squares = OWN * np.maximum(clinic_spread, lower_limit) ** 2 + self.scatter
        return np.sqrt(sum_of_squares / (OWN + np.maximum(self.ratings - 1, 0)))

    def level(self) -> Numbers:
        """The mean so far, shrunk towards the clinic's as if all had its spread."""
        prior_weight = (self.usual.spread / self.usual.varies) ** 2
        return (self.usual.mean * prior_weight + self.total[:, 0]) / (prior_weight + self.ratings)

    def expected(self, spread: Numbers, week: int) -> tuple[Numbers, Numbers]:
        """Mean and spread of the next rating, as far as is known; nobody is expected to rate higher than they have."""
        precision = 1 / self.usual.varies**2 + self.ratings / spread**2
        mean = (self.usual.mean / self.usual.varies**2 + self.total / spread[:, None] ** 2) / precision[:, None]
        own_mean: Numbers = self.total / np.maximum(self.ratings, 1)[:, None]
        mean = np.where((self.ratings > 0)[:, None], np.minimum(mean, own_mean), mean)
        weeks_beyond = np.nan_to_num(week - self.last - SETTLED_WEEKS, nan=0.0)
        drift_variance = np.clip(WANDERS * weeks_beyond, 0, FORGOTTEN)
        return mean, np.sqrt(spread**2 + 1 / precision + drift_variance)

    def settle(self, ratings: Numbers, given: Flags, mean: Numbers, predictive_spread: Numbers) -> None:
        """Let the ratings that were given into the baseline."""
        max_shift = REACH * predictive_spread[:, None]
        is_clipped = (self.ratings >= FIRM)[:, None]
        clipped = np.where(is_clipped, np.clip(ratings, mean - max_shift, mean + max_shift), ratings)
        mean_before: Numbers = self.total / np.maximum(self.ratings, 1)[:, None]
        squared_deviation = ((clipped - mean_before) ** 2).mean(axis=1) * self.ratings / (self.ratings + 1)
        self.scatter += np.where(given, squared_deviation, 0)
        self.total += np.where(given[:, None], clipped, 0)
        self.ratings += given


def surprises(ratings: Numbers, prior: Usual) -> tuple[Numbers, Numbers]:
    """Each rating's distance from what was expected, in predictive spreads, and how sure that expectation was.

    NaN where there is no rating or no past.
    """
    baseline = Baseline.empty(prior, (len(ratings), 1))
    surprise, sureness = np.full(ratings.shape, np.nan), np.full(ratings.shape, np.nan)
    for t in range(ratings.shape[1]):
        is_given = ~np.isnan(ratings[:, t])
        rating = np.where(is_given, ratings[:, t], 0)[:, None]
        spread = baseline.spread(baseline.level())
        mean, predictive_spread = baseline.expected(spread, t)
        has_expectation = is_given & (baseline.ratings > 0)
        surprise[has_expectation, t] = ((rating - mean)[:, 0] / predictive_spread)[has_expectation]
        sureness[has_expectation, t] = (spread / predictive_spread)[has_expectation]
        baseline.settle(rating, is_given, mean, predictive_spread)
        baseline.last[is_given] = t
    return surprise, sureness


def fell(surprise: Numbers, sureness: Numbers, depth_spreads: float) -> Numbers:
    """The weight of a rating for a fall by `depth` spreads: less where little was known."""
    drop_spreads = depth_spreads * sureness
    return np.clip(-drop_spreads * surprise - drop_spreads**2 / 2, -LIMIT, LIMIT)


def one_element(elements: Numbers, total: Numbers, prior: Prior) -> Numbers:
    """The weight for the idea that some single element fell away from the others."""
    total_baseline = Baseline.empty(prior.client, (len(total), 1))
    element_baseline = Baseline.empty(prior.element, (len(total), elements.shape[2]), floor=COARSE)
    weight = np.full(total.shape, np.nan)
    for t in range(total.shape[1]):
        is_given = ~np.isnan(total[:, t])
        relative_ratings = np.where(is_given[:, None], beside_the_others(elements[:, t]), 0)
        spread = element_baseline.spread(total_baseline.level())
        mean, predictive_spread = element_baseline.expected(spread, t)
        has_expectation = is_given & (element_baseline.ratings > 0)
        element_weights = fell(
            (relative_ratings - mean) / predictive_spread[:, None], (spread / predictive_spread)[:, None], DEPTH
        )
        weight[has_expectation, t] = np.log(np.exp(element_weights).mean(axis=1))[has_expectation]
        element_baseline.settle(relative_ratings, is_given, mean, predictive_spread)
        rating = np.where(is_given, total[:, t], 0)[:, None]
        total_baseline.settle(
            rating, is_given, *total_baseline.expected(total_baseline.spread(total_baseline.level()), t)
        )
        total_baseline.last[is_given] = t
    return weight


def habit_weight(happened: Flags, asked: Flags, prior: Habit) -> Numbers:
    """The weight of something missed, against the relationship's own habit; of the opposite where it was not."""
    asked_before: Numbers = np.cumsum(asked, axis=1) - asked
    missed_share = (prior.happened + np.cumsum(happened, axis=1) - happened) / (
        prior.happened + prior.not_happened + asked_before
    )
    usual_rate = np.clip(missed_share, RARELY, OFTEN)
    rupture_rate = np.minimum(OFTEN, LIKELIER * usual_rate)
    weight = np.where(happened, np.log(rupture_rate / usual_rate), np.log((1 - rupture_rate) / (1 - usual_rate)))
    return np.where(asked & (asked_before > 0), weight, 0.0)


def told_weight(told: Numbers) -> Numbers:
    """The weight of an answer to the direct question."""
    reported_weight, denied_weight = np.log(TOLD / TOLD_FALSELY), np.log((1 - TOLD) / (1 - TOLD_FALSELY))
    return np.where(np.isnan(told), 0.0, np.where(told == 1, reported_weight, denied_weight))


@dataclass(frozen=True, slots=True)
class Signals:
    """Which signals are looked at besides the client's total."""

    elements: bool = False
    clinician: bool = False
    silence: bool = False
    absence: bool = False
    direct: bool = False
    prior: Prior | None = field(default=None)
    """Another clinic's, where it is not the own one."""

    def __call__(self, history: Relationships, prior: Prior) -> Numbers:
        """The belief after each appointment, as log-odds; NaN where nothing was heard that could raise an alarm."""
        prior = self.prior or prior
        observations = history.seen
        client_weights = self._client(history, prior)
        clinician_weights = self._clinician(history, prior)
        has_signal = ~np.isnan(observations.total) | (self.silence & (observations.appointment == HELD))
        has_signal |= self.absence & (observations.appointment == AWAY)
        has_signal |= self.clinician & ~np.isnan(observations.clinician)
        clinician_waits = (
            observations.clinician_first | ~observations.answered
        )  # whether the clinician's answer waits for the client's
        return _believed(
            client_weights, clinician_weights, has_signal, clinician_waits, observations.appointment == EXCUSED
        )

    def _client(self, history: Relationships, prior: Prior) -> Numbers:
        """What the client's answer, silence or absence weighs."""
        observations = history.seen
        weight = np.nan_to_num(fell(*surprises(observations.total, prior.client), DEPTH), nan=0.0)
        if self.elements:
            element_weight = np.nan_to_num(one_element(observations.elements, observations.total, prior), nan=0.0)
            weight = np.logaddexp(np.log(1 - FEW) + weight, np.log(FEW) + element_weight)
        held, absent = observations.appointment == HELD, observations.appointment == AWAY
        if self.silence:
            weight = weight + habit_weight(held & ~observations.answered, held, prior.silence)
        if self.absence:
            weight = weight + habit_weight(absent, held | absent, prior.absence)
        return weight + told_weight(observations.told) if self.direct else weight

    def _clinician(self, history: Relationships, prior: Prior) -> Numbers:
        """What the clinician's answer weighs, who sees some of the ruptures only."""
        observations = history.seen
        weight = np.zeros(observations.total.shape)
        if self.clinician:
            total_weight = fell(*surprises(observations.clinician, prior.clinician), DEPTH)
            weight += np.nan_to_num(np.log(1 - SEES + SEES * np.exp(total_weight)), nan=0.0)
        return weight + told_weight(observations.told_by_clinician) if self.direct else weight


def _believed(
    client: Numbers, clinician: Numbers, has_signal: Flags, clinician_waits: Flags, is_excused: Flags
) -> Numbers:
    """The log-odds at which an alarm would be raised: a clinician's answer waits for the client's."""
    probability = np.zeros(len(client))
    scores = np.full(client.shape, np.nan)
    for t in range(client.shape[1]):
        decayed = np.where(is_excused[:, t], probability, BEGINS * (1 - probability) + STAYS * probability)
        log_odds_before = np.log(np.maximum(decayed, 1e-12)) - np.log1p(-decayed)
        log_odds_after = log_odds_before + client[:, t] + clinician[:, t]
        highest_log_odds = np.where(
            clinician_waits[:, t], log_odds_after, np.maximum(log_odds_after, log_odds_before + client[:, t])
        )
        if t > 0:  # the first session alarms nobody
            scores[has_signal[:, t], t] = highest_log_odds[has_signal[:, t]]
        probability = 1 / (1 + np.exp(-log_odds_after))
    return scores


TOTAL = Signals()
ALL = Signals(elements=True, clinician=True, silence=True, absence=True)
DIRECT = Signals(elements=True, clinician=True, silence=True, absence=True, direct=True)
