"""Published figures, and what the papers' own rules give in a simulated world.

A world that differs from every published figure would be no evidence. The rules read ratings only, as the papers did:
they know nothing of the truth. Where the sources at hand do not state a rule in full, `reading` says how it was read.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evaluation.simulation.generator import generate_mix
from evaluation.simulation.settings import SimulatedWorld
from evaluation.simulation.truth import BoolArray, FloatArray

MIN_RATINGS = 4  # with fewer, a client has no chart
MOVING_RANGE_PER_SPREAD = 1.128  # the mean distance of two values in sequence, in standard deviations
STILES_SPREADS, GUMZ_SPREADS = 2.0, 1.0
REPAIR_WITHIN_RATINGS = 3  # after the lowest point of a V
REGAINED_SHARE = 0.5  # of the fall, from which on it counts as repaired


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    source: str
    published: float
    clients: int | None
    """How many clients the study had; None if the sources at hand do not say."""
    reading: str
    rule: Callable[[FloatArray], FloatArray]
    """What each client contributes, given the ratings of each in order, NaN after the last."""
    combine: Callable[[FloatArray], FloatArray]
    """The figure from the sums of the contributions; the last axis is that of the contributions."""


@dataclass(frozen=True, slots=True)
class Comparison:
    world: str
    figure: Figure
    value: float
    low: float
    high: float
    """What 95% of studies of the published size would find in this world."""

    @property
    def holds(self) -> bool:
        """Whether the published value lies within the interval."""
        return self.low <= self.figure.published <= self.high


def compare(world: SimulatedWorld, count: int, ruptured_share: float, resamples: int, seed: int) -> list[Comparison]:
    """Each published figure in a realistic mix of this world, with an interval for a study of the published size."""
    totals = generate_mix(world.reported, count, ruptured_share, seed).observations.total
    ratings = in_order(totals)
    ratings = ratings[(~np.isnan(ratings)).sum(axis=1) >= MIN_RATINGS]
    rng, weights_by_size = np.random.default_rng(seed), {}
    comparisons = []
    for figure in FIGURES:
        size = min(figure.clients or len(ratings), len(ratings))
        if size not in weights_by_size:
            weights_by_size[size] = rng.multinomial(size, np.full(len(ratings), 1 / len(ratings)), resamples)
        contributions = figure.rule(ratings)
        low, high = np.quantile(figure.combine(weights_by_size[size] @ contributions), (0.025, 0.975))
        value = figure.combine(contributions.sum(axis=0))
        comparisons.append(Comparison(world.name, figure, float(value), float(low), float(high)))
    return comparisons


def in_order(totals: FloatArray) -> FloatArray:
    """The ratings of each client one after the other, NaN after the last."""
    return np.take_along_axis(totals, np.argsort(np.isnan(totals), axis=1, kind="stable"), axis=1)


def _ratio(sums: FloatArray) -> FloatArray:
    return np.asarray(sums[..., 0] / sums[..., 1])


def _client_share(is_flagged: BoolArray) -> FloatArray:
    """Of each client: whether any session is flagged, and one client."""
    return np.stack([is_flagged.any(axis=1), np.ones(len(is_flagged))], axis=1)


def _below_limit(ratings: FloatArray, limit_spreads: float) -> BoolArray:
    """The sessions below the lower limit of the client's own chart of individual values."""
    moving_range = np.nanmean(np.abs(np.diff(ratings, axis=1)), axis=1, keepdims=True)
    limit = np.nanmean(ratings, axis=1, keepdims=True) - limit_spreads * moving_range / MOVING_RANGE_PER_SPREAD
    return np.asarray(ratings < limit - 1e-9)  # a client who always answers the same is never below


def clients_below(limit_spreads: float) -> Callable[[FloatArray], FloatArray]:
    return lambda ratings: _client_share(_below_limit(ratings, limit_spreads))


def sessions_below(limit_spreads: float) -> Callable[[FloatArray], FloatArray]:
    return lambda ratings: np.stack(
        [_below_limit(ratings, limit_spreads).sum(axis=1), (~np.isnan(ratings)).sum(axis=1)], axis=1
    )


def _falls(ratings: FloatArray, by_points: FloatArray) -> BoolArray:
    """The ratings that lie at least so many points below the one before."""
    is_fall = np.zeros(ratings.shape, bool)
    is_fall[:, 1:] = (np.diff(ratings, axis=1) <= -by_points[:, None]) & (by_points > 0)[:, None]
    return is_fall


def _is_regained(ratings: FloatArray, within: int) -> BoolArray:
    """Whether one of the next ratings regains half of the fall from the rating before."""
    is_regained, count = np.zeros(ratings.shape, bool), ratings.shape[1]
    for t in range(1, count - 1):
        needed = ratings[:, t] + REGAINED_SHARE * (ratings[:, t - 1] - ratings[:, t])
        is_regained[:, t] = (ratings[:, t + 1 : t + 1 + within] >= needed[:, None]).any(axis=1)
    return is_regained


def v_of_stiles(ratings: FloatArray) -> FloatArray:
    own_spread = np.nanstd(ratings, axis=1, ddof=1)
    is_v = _falls(ratings, STILES_SPREADS * own_spread) & _is_regained(ratings, REPAIR_WITHIN_RATINGS)
    return _client_share(is_v)


def _ruptures_of_gumz(ratings: FloatArray) -> tuple[BoolArray, BoolArray]:
    """Whether each client has a fall, and one that is never regained."""
    own_spread, between = np.nanstd(ratings, axis=1, ddof=1), np.nanmean(ratings, axis=1).std(ddof=1)
    is_fall = _falls(ratings, np.asarray(GUMZ_SPREADS * np.maximum(own_spread, between)))
    is_unrepaired = is_fall & ~_is_regained(ratings, ratings.shape[1])
    return np.asarray(is_fall.any(axis=1)), np.asarray(is_unrepaired.any(axis=1))


def unrepaired_of_larsson(ratings: FloatArray) -> FloatArray:
    return _client_share(_ruptures_of_gumz(ratings)[1][:, None])


def repaired_of_larsson(ratings: FloatArray) -> FloatArray:
    has_rupture, is_unrepaired = _ruptures_of_gumz(ratings)
    return _client_share((has_rupture & ~is_unrepaired)[:, None])


def variance_parts(ratings: FloatArray) -> FloatArray:
    """Of each client: squares within and their degrees of freedom; the mean, its square and the share of one rating."""
    count, mean = (~np.isnan(ratings)).sum(axis=1), np.nanmean(ratings, axis=1)
    return np.stack(
        [np.nanvar(ratings, axis=1) * count, count - 1, mean, mean**2, 1 / count, np.ones(len(count))], axis=1
    )


def dependability(sums: FloatArray) -> FloatArray:
    """The share of the variance of one rating that lies between clients."""
    squares, freedom, mean, mean_square, inverse_count, clients = np.moveaxis(sums, -1, 0)
    within = squares / freedom
    between = mean_square / clients - (mean / clients) ** 2 - within * inverse_count / clients
    return np.asarray(between / (between + within))


_IDAHO, _LARSSON = "Idaho State University thesis, N = 12,711", "Larsson 2018, N = 605"
_LIMIT = (
    "The limits are not stated in the sources: the chart of individual values, as Lipner 2022 used it, at {} sigma."
)
_GUMZ = (
    "The rule is not stated in the sources: a fall from one rating to the next by one standard deviation, the larger "
    "of the client's own and that between clients (Gumz 2012); {} half of the fall."
)
_STILES = "A fall from one rating to the next by two own standard deviations, of which half is regained within three."
FIGURES = (
    *(
        Figure(
            f"clients flagged by control charts, {k} sigma",
            _IDAHO,
            0.29,
            12711,
            _LIMIT.format(k),
            clients_below(k),
            _ratio,
        )
        for k in (2, 3)
    ),
    *(
        Figure(
            f"sessions flagged by control charts, {k} sigma",
            _IDAHO,
            0.09,
            12711,
            _LIMIT.format(k),
            sessions_below(k),
            _ratio,
        )
        for k in (2, 3)
    ),
    Figure(
        "clients with an unrepaired rupture",
        _LARSSON,
        0.107,
        605,
        _GUMZ.format("never regains"),
        unrepaired_of_larsson,
        _ratio,
    ),
    Figure(
        "clients with a repaired rupture", _LARSSON, 0.147, 605, _GUMZ.format("regains"), repaired_of_larsson, _ratio
    ),
    Figure(
        "dependability of one session",
        "Crits-Christoph 2011",
        0.77,
        None,
        "Variance components.",
        variance_parts,
        dependability,
    ),
    Figure("clients with a V of two spreads", "Stiles 2004, N = 79", 0.215, 79, _STILES, v_of_stiles, _ratio),
)
