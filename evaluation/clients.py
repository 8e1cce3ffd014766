"""Simulated clients: their traits, their moods, and how they rate a session."""

from dataclasses import dataclass

import numpy as np

from evaluation.relationships import ELEMENT_COUNT, LOOKALIKES, BoolArray, FloatArray, IntArray
from evaluation.settings import WorldSettings

TWIN_COUNT = 40  # stable copies of each relationship, from which the oracle knows its level and spread


@dataclass(frozen=True, slots=True)
class Clients:
    """The traits of each client."""

    world: WorldSettings
    level: FloatArray
    spread: FloatArray
    trend: FloatArray
    element_offsets: FloatArray
    is_straight_liner: BoolArray
    lookalike: IntArray

    @classmethod
    def sample(
        cls, world: WorldSettings, count: int, rng: np.random.Generator, without_lookalikes: bool = False
    ) -> "Clients":
        lookalikes = world.lookalikes
        shares = np.array([lookalikes.always_low, lookalikes.noisy, lookalikes.bad_day, lookalikes.holiday])
        lookalike = rng.choice(len(LOOKALIKES), count, p=[1 - shares.sum(), *shares]) * (not without_lookalikes)
        level = rng.normal(world.level, world.level_varies, count)
        level -= np.where(lookalike == 1, rng.uniform(*lookalikes.low_by_points, count), 0)
        spread = world.spread * np.exp(rng.normal(0, world.spread_varies, count))
        spread *= np.where(lookalike == 2, lookalikes.noise_factor, 1)
        element_offsets = rng.normal(0, world.element_varies, (count, ELEMENT_COUNT))
        return cls(
            world,
            level,
            spread,
            trend=rng.normal(world.trend, world.trend_varies, count),
            element_offsets=element_offsets - element_offsets.mean(axis=1, keepdims=True),
            is_straight_liner=rng.random(count) < world.straight_liner_share,
            lookalike=lookalike,
        )

    def sample_moods(self, sessions: int, rng: np.random.Generator) -> FloatArray:
        """The mood of each session, in spreads, with the bad days that are not a rupture."""
        count, autocorrelation = len(self.level), self.world.autocorrelation
        moods = unit_noise(self.world.noise_degrees_of_freedom, (count, sessions), rng)
        for t in range(1, sessions):
            moods[:, t] = autocorrelation * moods[:, t - 1] + np.sqrt(1 - autocorrelation**2) * moods[:, t]
        is_bad_day = rng.random((count, sessions)) < self.world.bad_day_rate
        is_bad_day[np.arange(count), rng.integers(1, sessions, count)] |= self.lookalike == 3
        return moods - is_bad_day * rng.uniform(*self.world.bad_day_depth, (count, sessions))

    def sample_ratings(self, moods: FloatArray, drop: FloatArray | float, rng: np.random.Generator) -> FloatArray:
        """The rating of each element: in whole numbers and within the scale, where the world says so."""
        # an element's own noise, as a multiple of the common spread
        element_noise_ratio = np.sqrt(1 / self.world.loading**2 - 1)
        # reduced, so that the total with its share of element noise has the client's spread
        common_spread = self.spread / np.sqrt(1 + element_noise_ratio**2 / ELEMENT_COUNT)
        trend = self.trend[:, None] * np.arange(moods.shape[1])
        totals = self.level[:, None] + trend + common_spread[:, None] * moods
        element_noise = (element_noise_ratio * common_spread)[:, None, None] * rng.normal(
            size=(*moods.shape, ELEMENT_COUNT)
        )
        ratings = totals[..., None] + self.element_offsets[:, None, :] + element_noise - drop
        ratings = np.where(self.is_straight_liner[:, None, None], ratings.mean(axis=2, keepdims=True), ratings)
        if self.world.has_ceiling:
            ratings = np.clip(ratings, 0, 100)
        return np.round(ratings, -1) if self.world.is_rounded else ratings

    def expected_course(self, sessions: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """The expected course and the spread of each relationship without a rupture, from its stable twins."""
        centred_sessions = np.arange(sessions) - (sessions - 1) / 2
        twins = np.stack(
            [self.sample_ratings(self.sample_moods(sessions, rng), 0.0, rng).mean(axis=2) for _ in range(TWIN_COUNT)]
        )
        mean, slope = (
            twins.mean(axis=(0, 2)),
            (twins * centred_sessions).mean(axis=(0, 2)) / (centred_sessions**2).mean(),
        )
        expected = mean[:, None] + slope[:, None] * centred_sessions
        return expected, np.sqrt(((twins - expected) ** 2).mean(axis=(0, 2)))


def unit_noise(degrees_of_freedom: int, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Noise with a standard deviation of one: normal if `degrees_of_freedom` is 0, else Student's t."""
    if not degrees_of_freedom:
        return rng.normal(size=shape)
    return np.clip(
        rng.standard_t(degrees_of_freedom, shape) / np.sqrt(degrees_of_freedom / (degrees_of_freedom - 2)), -8, 8
    )
