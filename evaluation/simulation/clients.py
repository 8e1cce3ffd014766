"""Draws the traits of clients and clinicians."""

from typing import Any

import numpy as np

from evaluation.simulation.settings import WorldSettings
from evaluation.simulation.truth import ELEMENT_COUNT, LOOKALIKES, Clients, FloatArray, IntArray

COARSE_STEP = 50.0  # points: answers of 0, 5 and 10 only
EXTREME_STRETCH, SCALE_MIDDLE = 2.0, 75.0
ALWAYS_LOW, NOISY, BAD_DAY, HOLIDAY, LOW_FROM_START = range(1, len(LOOKALIKES))


def sample_clients(
    world: WorldSettings, count: int, appointments: int, rng: np.random.Generator, with_lookalikes: bool
) -> Clients:
    """Draw clients; `with_lookalikes`, a part of them is stable and yet looks alarming."""
    (rate_rng,) = rng.spawn(1)  # of its own: how many numbers it uses depends on the rates
    lookalike = _sample_lookalikes(world, count, rng) * with_lookalikes
    level = _sample_levels(world, lookalike, rng)
    spread = world.spread * np.exp(rng.normal(0, world.spread_varies, count))
    spread *= np.where(lookalike == NOISY, world.lookalikes.noise_factor, 1)
    offsets = rng.normal(0, world.element_varies, (count, ELEMENT_COUNT))
    style = rng.random(count)
    is_coarse = (style < world.coarse_share) & (world.answer_step > 0)
    is_extreme = (style >= world.coarse_share) & (style < world.coarse_share + world.extreme_share)
    noise_changes = rng.random(count) < world.noise_change_share
    bad_day_session = rng.integers(1, appointments, count)
    return Clients(
        level=level,
        spread=spread,
        trend=rng.normal(world.trend, world.trend_varies, count),
        noise_change_session=np.where(noise_changes, rng.integers(3, appointments, count), appointments),
        noise_change_factor=rng.uniform(*world.noise_change_factor, count),
        element_offsets=offsets - offsets.mean(axis=1, keepdims=True),
        is_straight_liner=rng.random(count) < world.straight_liner_share,
        answer_step=np.where(is_coarse, COARSE_STEP, world.answer_step),
        stretch=np.where(is_extreme, EXTREME_STRETCH, 1.0),
        bad_day_rate=np.full(count, world.bad_day_rate),
        bad_day_session=np.where(lookalike == BAD_DAY, bad_day_session, -1),
        lookalike=lookalike,
        missing_rate=_sample_rates(world.missing_rate, world.missing_concentration, count, rate_rng),
        absence_rate=_sample_rates(world.absence_rate, world.absence_concentration, count, rate_rng),
        candour=rng.random(count),
        false_candour=rng.random(count),
        habit=rng.random(count),
        **_sample_clinicians(world, level, rng),
    )


def _sample_clinicians(world: WorldSettings, level: FloatArray, rng: np.random.Generator) -> dict[str, Any]:
    """The clinician of each relationship: some traits are the same for the whole caseload."""
    count = len(level)
    clinician, clinician_count = np.arange(count) // world.clinician_caseload, count // world.clinician_caseload + 1
    awareness = rng.uniform(*world.effects.clinician_awareness, clinician_count)
    return {
        "clinician": clinician,
        "clinician_level": _sample_clinician_levels(world, level, rng),
        "clinician_spread": world.clinician_spread * np.exp(rng.normal(0, world.spread_varies, count)),
        "clinician_awareness": awareness[clinician],
        "clinician_candour": rng.random(clinician_count)[clinician],
        "clinician_false_candour": rng.random(clinician_count)[clinician],
    }


def _sample_lookalikes(world: WorldSettings, count: int, rng: np.random.Generator) -> IntArray:
    of = world.lookalikes
    shares = np.array([of.always_low, of.noisy, of.bad_day, of.holiday, of.low_from_start])
    return rng.choice(len(LOOKALIKES), count, p=[1 - shares.sum(), *shares])


def _sample_levels(world: WorldSettings, lookalike: IntArray, rng: np.random.Generator) -> FloatArray:
    count = len(lookalike)
    level = rng.normal(world.level, world.level_varies, count)
    level -= np.where(lookalike == ALWAYS_LOW, rng.uniform(*world.lookalikes.low_by_points, count), 0)
    return np.where(lookalike == LOW_FROM_START, rng.uniform(*world.lookalikes.start_level, count), level)


def _sample_rates(mean: float, concentration: float, count: int, rng: np.random.Generator) -> FloatArray:
    """Each client has an own rate."""
    return rng.beta(mean * concentration, (1 - mean) * concentration, count)


def _sample_clinician_levels(world: WorldSettings, level: FloatArray, rng: np.random.Generator) -> FloatArray:
    correlation = world.clinician_correlation
    standardized = correlation * (level - world.level) / world.level_varies
    standardized += np.sqrt(1 - correlation**2) * rng.normal(size=len(level))
    return np.asarray(world.clinician_level + world.clinician_level_varies * standardized)
