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
        at_level = self.usual.at_top + self.usual.widening * (100 - level)
        least = max(self.floor, NARROWEST * self.usual.spread)
        own = OWN * np.maximum(at_level, least) ** 2 + self.scatter
        return np.sqrt(own / (OWN + np.maximum(self.ratings - 1, 0)))

    def level(self) -> Numbers:
        """The mean so far, shrunk towards the clinic's as if all had its spread."""
        doubt = (self.usual.spread / self.usual.varies) ** 2
        return (self.usual.mean * doubt + self.total[:, 0]) / (doubt + self.ratings)

    def expected(self, spread: Numbers, week: int) -> tuple[Numbers, Numbers]:
        """Mean and spread of the next rating, as far as is known; nobody is expected to rate higher than they have."""
        certainty = 1 / self.usual.varies**2 + self.ratings / spread**2
        mean = (self.usual.mean / self.usual.varies**2 + self.total / spread[:, None] ** 2) / certainty[:, None]
        own: Numbers = self.total / np.maximum(self.ratings, 1)[:, None]
        mean = np.where((self.ratings > 0)[:, None], np.minimum(mean, own), mean)
        gap = np.nan_to_num(week - self.last - SETTLED_WEEKS, nan=0.0)
        wandered = np.clip(WANDERS * gap, 0, FORGOTTEN)
        return mean, np.sqrt(spread**2 + 1 / certainty + wandered)

    def settle(self, ratings: Numbers, given: Flags, mean: Numbers, expected: Numbers) -> None:
        """Let the ratings that were given into the baseline."""
        reach = REACH * expected[:, None]
        firm = (self.ratings >= FIRM)[:, None]
        counted = np.where(firm, np.clip(ratings, mean - reach, mean + reach), ratings)
        mean_before: Numbers = self.total / np.maximum(self.ratings, 1)[:, None]
        moved = ((counted - mean_before) ** 2).mean(axis=1) * self.ratings / (self.ratings + 1)
        self.scatter += np.where(given, moved, 0)
        self.total += np.where(given[:, None], counted, 0)
        self.ratings += given


def surprises(ratings: Numbers, prior: Usual) -> tuple[Numbers, Numbers]:
    """Each rating's distance from what was expected, in predictive spreads, and how sure that expectation was.

    NaN where there is no rating or no past.
    """
    own = Baseline.empty(prior, (len(ratings), 1))
    surprise, sureness = np.full(ratings.shape, np.nan), np.full(ratings.shape, np.nan)
    for t in range(ratings.shape[1]):
        given = ~np.isnan(ratings[:, t])
        rating = np.where(given, ratings[:, t], 0)[:, None]
        spread = own.spread(own.level())
        mean, expected = own.expected(spread, t)
        known = given & (own.ratings > 0)
        surprise[known, t] = ((rating - mean)[:, 0] / expected)[known]
        sureness[known, t] = (spread / expected)[known]
        own.settle(rating, given, mean, expected)
        own.last[given] = t
    return surprise, sureness


def fell(surprise: Numbers, sureness: Numbers, depth: float) -> Numbers:
    """The weight of a rating for a fall by `depth` spreads: less where little was known."""
    fall = depth * sureness
    return np.clip(-fall * surprise - fall**2 / 2, -LIMIT, LIMIT)


def one_element(elements: Numbers, total: Numbers, prior: Prior) -> Numbers:
    """The weight for the idea that some single element fell away from the others."""
    whole = Baseline.empty(prior.client, (len(total), 1))
    beside = Baseline.empty(prior.element, (len(total), elements.shape[2]), floor=COARSE)
    weight = np.full(total.shape, np.nan)
    for t in range(total.shape[1]):
        given = ~np.isnan(total[:, t])
        apart = np.where(given[:, None], beside_the_others(elements[:, t]), 0)
        spread = beside.spread(whole.level())
        mean, expected = beside.expected(spread, t)
        known = given & (beside.ratings > 0)
        each = fell((apart - mean) / expected[:, None], (spread / expected)[:, None], DEPTH)
        weight[known, t] = np.log(np.exp(each).mean(axis=1))[known]
        beside.settle(apart, given, mean, expected)
        rating = np.where(given, total[:, t], 0)[:, None]
        whole.settle(rating, given, *whole.expected(whole.spread(whole.level()), t))
        whole.last[given] = t
    return weight


def habit_weight(happened: Flags, asked: Flags, habit: Habit) -> Numbers:
    """The weight of something missed, against the relationship's own habit; of the opposite where it was not."""
    before: Numbers = np.cumsum(asked, axis=1) - asked
    share = (habit.happened + np.cumsum(happened, axis=1) - happened) / (habit.happened + habit.not_happened + before)
    usual = np.clip(share, RARELY, OFTEN)
    rupture = np.minimum(OFTEN, LIKELIER * usual)
    weight = np.where(happened, np.log(rupture / usual), np.log((1 - rupture) / (1 - usual)))
    return np.where(asked & (before > 0), weight, 0.0)


def told_weight(told: Numbers) -> Numbers:
    """The weight of an answer to the direct question."""
    yes, no = np.log(TOLD / TOLD_FALSELY), np.log((1 - TOLD) / (1 - TOLD_FALSELY))
    return np.where(np.isnan(told), 0.0, np.where(told == 1, yes, no))


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
        seen = history.seen
        client = self._client(history, prior)
        clinician = self._clinician(history, prior)
        heard = ~np.isnan(seen.total) | (self.silence & (seen.appointment == HELD))
        heard |= self.absence & (seen.appointment == AWAY)
        heard |= self.clinician & ~np.isnan(seen.clinician)
        later = seen.clinician_first | ~seen.answered  # whether the clinician's answer waits for the client's
        return _believed(client, clinician, heard, later, seen.appointment == EXCUSED)

    def _client(self, history: Relationships, prior: Prior) -> Numbers:
        """What the client's answer, silence or absence weighs."""
        seen = history.seen
        weight = np.nan_to_num(fell(*surprises(seen.total, prior.client), DEPTH), nan=0.0)
        if self.elements:
            few = np.nan_to_num(one_element(seen.elements, seen.total, prior), nan=0.0)
            weight = np.logaddexp(np.log(1 - FEW) + weight, np.log(FEW) + few)
        held, away = seen.appointment == HELD, seen.appointment == AWAY
        if self.silence:
            weight = weight + habit_weight(held & ~seen.answered, held, prior.silence)
        if self.absence:
            weight = weight + habit_weight(away, held | away, prior.absence)
        return weight + told_weight(seen.told) if self.direct else weight

    def _clinician(self, history: Relationships, prior: Prior) -> Numbers:
        """What the clinician's answer weighs, who sees some of the ruptures only."""
        seen = history.seen
        weight = np.zeros(seen.total.shape)
        if self.clinician:
            fall = fell(*surprises(seen.clinician, prior.clinician), DEPTH)
            weight += np.nan_to_num(np.log(1 - SEES + SEES * np.exp(fall)), nan=0.0)
        return weight + told_weight(seen.told_by_clinician) if self.direct else weight


def _believed(client: Numbers, clinician: Numbers, heard: Flags, later: Flags, excused: Flags) -> Numbers:
    """The log-odds at which an alarm would be raised: a clinician's answer waits for the client's."""
    belief = np.zeros(len(client))
    said = np.full(client.shape, np.nan)
    for t in range(client.shape[1]):
        faded = np.where(excused[:, t], belief, BEGINS * (1 - belief) + STAYS * belief)
        before = np.log(np.maximum(faded, 1e-12)) - np.log1p(-faded)
        after = before + client[:, t] + clinician[:, t]
        highest = np.where(later[:, t], after, np.maximum(after, before + client[:, t]))
        if t > 0:  # the first session alarms nobody
            said[heard[:, t], t] = highest[heard[:, t]]
        belief = 1 / (1 + np.exp(-after))
    return said


TOTAL = Signals()
ALL = Signals(elements=True, clinician=True, silence=True, absence=True)
DIRECT = Signals(elements=True, clinician=True, silence=True, absence=True, direct=True)
