"""What the next rating is expected to be, and how surprising the one that came is.

The baseline is the relationship's own mean, shrunk towards the clinic's (empirical Bayes), so that the second rating
can already say something. The spread depends on the level, because near the top of the scale there is little room to
vary and a small drop means more; with every rating it becomes more the relationship's own.

This module and `belief` are all that has to be exchanged for another model.
"""

from dataclasses import dataclass
from datetime import datetime
from math import sqrt

from services.alliance.domain.policy.policy import Usual
from services.alliance.domain.state.alliance import Beside, Pairs, Series
from services.alliance.domain.state.fast_replace import replace
from shared.events import Element

LATELY = 6  # ratings that a trend is read from: about as long as the slowest slide (Gumz 2012)
ROLLING_WEIGHT = 0.4  # of the newest rating: half of the rolling score are the last one or two sessions
OWN = 3.0  # ratings' worth of trust in the clinic's spread before the own one (evaluation: 2 to 4 are alike)
NARROWEST = 0.35  # of the clinic's usual spread, whatever the level
COARSE = 5.7  # points: an element rated in whole numbers cannot be steadier beside the others
REACH = 2.0  # spreads; a rating further off moves the baseline no more than one so far off
FIRM = 2  # ratings that are taken as they are: an always-low client would never be reached otherwise
BAND = 1.2816  # spreads on either side that hold four of five ratings
BELOW = 0.5  # spreads from which on a rating lies below what was expected
SETTLED_DAYS, WANDERS = 28, 0.3  # a gap longer than this adds so many points² of doubt for each further day
FORGOTTEN = 100.0  # points²: no gap makes more doubtful than this


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the relationship's own past leads to expect of the next rating, in points of 0 to 100."""

    mean: float
    spread: float
    sureness: float
    """How much of the spread is from session to session, 0 to 1; the rest is that little is known yet."""

    @property
    def low(self) -> float:
        return min(100.0, max(0.0, self.mean - BAND * self.spread))

    @property
    def high(self) -> float:
        return min(100.0, max(0.0, self.mean + BAND * self.spread))

    def surprise(self, rating: float) -> float:
        """How many spreads `rating` lies above what was expected; negative below."""
        return (rating - self.mean) / self.spread


def expect(series: Series, usual: Usual, at: datetime | None = None) -> Expectation:
    """The predictive distribution of the next rating, given `at`."""
    spread = _spread(usual, level(series, usual), series.usual, series.scatter)
    return _expected(usual, series.usual, series.total, spread, _wandered(series, at))


def expect_beside(beside: Beside, usual: Usual, level: float) -> dict[Element, Expectation]:
    """The same of how far each element will lie above the others, where the whole is at `level`."""
    spread = _spread(usual, level, beside.forms, beside.scatter, COARSE)
    return {element: _expected(usual, gap.count, gap.total, spread, 0.0) for element, gap in beside.elements.items()}


def level(series: Series, usual: Usual) -> float:
    """What is usual here, shrunk towards the clinic's as if every relationship had its spread."""
    prior_weight = (usual.spread / usual.varies) ** 2
    return (usual.mean * prior_weight + series.total) / (prior_weight + series.usual)


def take(series: Series, rating: float, expected: Expectation, at: datetime) -> Series:
    """The series with one more rating, its baseline as it was: `settle` moves that."""
    streak = series.falling + 1 if expected.surprise(rating) < -BELOW else 0
    return replace(note(series, rating, at), falling=streak)


def note(series: Series, rating: float, at: datetime) -> Series:
    """The series with one more rating, of which nothing was expected."""
    return replace(
        series,
        ratings=series.ratings + 1,
        rolling=rolled(series.rolling, rating),
        last=rating,
        last_at=at,
        unvaried=series.unvaried + 1 if series.last == rating else 0,
        lately=(*series.lately, rating)[-LATELY:],
    )


def rolled(before: float | None, now: float) -> float:
    """The exponentially weighted mean with one more value."""
    return now if before is None else before + ROLLING_WEIGHT * (now - before)


def pair(pairs: Pairs, client: float, clinician: float) -> Pairs:
    """With what the two said of one more session (Welford's sums, so that no history is needed)."""
    count = pairs.count + 1
    client_deviation, clinician_deviation = client - pairs.client, clinician - pairs.clinician
    client_mean, clinician_mean = pairs.client + client_deviation / count, pairs.clinician + clinician_deviation / count
    return Pairs(
        count=count,
        rolling=rolled(pairs.rolling if pairs.count else None, client - clinician),
        client=client_mean,
        clinician=clinician_mean,
        client_scatter=pairs.client_scatter + client_deviation * (client - client_mean),
        clinician_scatter=pairs.clinician_scatter + clinician_deviation * (clinician - clinician_mean),
        together=pairs.together + client_deviation * (clinician - clinician_mean),
    )


def settle(series: Series, rating: float, expected: Expectation) -> Series:
    """Let `rating` into the baseline; done only outside episodes, for a baseline that follows a rupture misses it."""
    clipped = _counted(rating, series.usual, expected)
    squared_deviation = (
        (clipped - series.mean) ** 2 * series.usual / (series.usual + 1) if series.mean is not None else 0.0
    )
    return replace(
        series, usual=series.usual + 1, total=series.total + clipped, scatter=series.scatter + squared_deviation
    )


def settle_beside(beside: Beside, apart: dict[Element, float], expected: dict[Element, Expectation]) -> Beside:
    """The same of the elements of one answer, which share a spread."""
    gaps = dict(beside.elements)
    squared_deviations = 0.0
    for element, relative_rating in apart.items():
        gap = gaps[element]
        clipped = _counted(relative_rating, gap.count, expected[element])
        squared_deviations += (clipped - gap.usual) ** 2 * gap.count / (gap.count + 1)
        gaps[element] = replace(gap, count=gap.count + 1, total=gap.total + clipped)
    return Beside(gaps, beside.forms + 1, beside.scatter + squared_deviations / len(apart))


def _spread(usual: Usual, level: float, ratings: int, scatter: float, floor: float = 0.0) -> float:
    """From session to session: the clinic's at this level, then more and more the own one."""
    clinic_spread = max(usual.at_top + usual.widening * (100 - level), floor, NARROWEST * usual.spread)
    return sqrt((OWN * clinic_spread**2 + scatter) / (OWN + max(ratings - 1, 0)))


def _expected(usual: Usual, count: int, total: float, spread: float, drift_variance: float) -> Expectation:
    """Nobody is expected to rate higher than they have: an always-low client has not fallen."""
    precision = 1 / usual.varies**2 + count / spread**2
    mean = (usual.mean / usual.varies**2 + total / spread**2) / precision
    mean = min(mean, total / count) if count else mean
    predictive_spread = sqrt(spread**2 + 1 / precision + drift_variance)
    return Expectation(mean, predictive_spread, spread / predictive_spread)


def _wandered(series: Series, at: datetime | None) -> float:
    """How much more doubtful the baseline is after a long gap, in points²."""
    if at is None or series.last_at is None:
        return 0.0
    return min(FORGOTTEN, WANDERS * max(0, (at - series.last_at).days - SETTLED_DAYS))


def _counted(rating: float, ratings: int, expected: Expectation) -> float:
    if ratings < FIRM:
        return rating
    max_shift = REACH * expected.spread
    return min(max(rating, expected.mean - max_shift), expected.mean + max_shift)
