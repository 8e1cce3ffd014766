"""What the next rating is expected to be, and how surprising the one that came is.

The baseline is the relationship's own mean, shrunk towards the clinic's (empirical Bayes, normal with a known
spread), so that the second rating can already say something. The spread depends on the level, because near the
top of the scale there is little room to vary and a small drop means more.

This module is all that has to be exchanged for another model: `expect` and `take`.
"""

from dataclasses import dataclass, replace
from math import sqrt

from services.alliance.domain.alliance import Series
from services.alliance.domain.policy import Policy

ROLLING_WEIGHT = 0.4  # of the newest rating: half of the rolling score are the last one or two sessions
ALLOWANCE = 0.5  # spreads; a CUSUM with it is quickest for shifts of about one spread
NARROWEST, WIDEST, WIDENING = 2.5, 9.0, 0.15  # points: spread at the top, at most, and per point below the top
BAND = 1.2816  # spreads on either side that hold four of five ratings
CLIP = 3.0  # spreads; a rating further off moves the baseline no more than one so far off


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the relationship's own past leads to expect of the next rating, in points of 0 to 100."""

    mean: float
    spread: float

    @property
    def low(self) -> float:
        return max(0.0, self.mean - BAND * self.spread)

    @property
    def high(self) -> float:
        return min(100.0, self.mean + BAND * self.spread)

    def surprise(self, rating: float) -> float:
        """How many spreads `rating` lies above what was expected; negative below."""
        return (rating - self.mean) / self.spread


def expect(series: Series, policy: Policy) -> Expectation:
    """The predictive distribution of the next rating."""
    usual = policy.prior_mean if series.mean is None else series.mean
    within = min(WIDEST, NARROWEST + WIDENING * (100.0 - usual)) ** 2
    certainty = 1 / policy.prior_spread**2 + series.usual / within
    mean = (policy.prior_mean / policy.prior_spread**2 + series.total / within) / certainty
    return Expectation(mean, sqrt(within + 1 / certainty))


def take(series: Series, rating: float, expected: Expectation) -> Series:
    """The series with one more rating, its baseline as it was: `settle` moves that."""
    rolling = rating if series.rolling is None else series.rolling + ROLLING_WEIGHT * (rating - series.rolling)
    slide = series.slide - expected.surprise(rating) - ALLOWANCE if series.ratings else 0.0
    return replace(
        series,
        ratings=series.ratings + 1,
        rolling=rolling,
        slide=max(0.0, slide),
        last=rating,
        unvaried=series.unvaried + 1 if series.last == rating else 0,
    )


def settle(series: Series, rating: float, expected: Expectation) -> Series:
    """Let `rating` into the baseline; done only outside episodes, for a baseline that follows a rupture misses it."""
    counted = rating
    if series.usual >= 2:  # the first two are taken as they are, or an always-low client would never be reached
        reach = CLIP * expected.spread
        counted = min(max(rating, expected.mean - reach), expected.mean + reach)
    return replace(series, usual=series.usual + 1, total=series.total + counted)
