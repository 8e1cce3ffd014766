"""Generates simulated relationships.

The ground truth is the latent process: when a rupture began and ended, its kind and its depth. It is never a threshold
on observations. The same seed gives the same relationships.
"""

import numpy as np

from evaluation.clients import Clients, unit_noise
from evaluation.courses import Course
from evaluation.relationships import (
    ABSENT,
    ELEMENT_COUNT,
    ENDED,
    EXCUSED,
    HELD,
    BoolArray,
    FloatArray,
    GroundTruth,
    IntArray,
    Observations,
    Relationships,
)
from evaluation.settings import KINDS, WorldSettings

WITHDRAWAL, DIVERGENCE = KINDS.index("withdrawal"), KINDS.index("divergence")


def generate_stable(world: WorldSettings, count: int, sessions: int, seed: int) -> Relationships:
    """Generate relationships without a rupture, some of which look alarming; each has all sessions."""
    rng = np.random.default_rng([seed, 0])
    clients = Clients.sample(world, count, rng)
    return _observe(world, clients, Course.without_rupture(count, sessions), rng)


def generate_ruptured(world: WorldSettings, count: int, sessions: int, seed: int) -> Relationships:
    """Generate relationships with one rupture each; none ends before its rupture begins."""
    rng = np.random.default_rng([seed, 1])
    clients = Clients.sample(world, count, rng, without_lookalikes=True)
    return _observe(world, clients, Course.sample(world, count, sessions, rng), rng)


def _observe(world: WorldSettings, clients: Clients, course: Course, rng: np.random.Generator) -> Relationships:
    moods = clients.sample_moods(course.severity_path.shape[1], rng)
    expected, spread = clients.expected_course(course.severity_path.shape[1], rng)
    appointment = _sample_appointments(world, clients, course, rng)
    missing_rates = (
        world.missing_rate,
        world.missing_concentration,
        world.missing_factor_in_rupture,
        world.missing_factor_in_withdrawal,
    )
    answered = (appointment == HELD) & ~_sample_occurrences(*missing_rates, course, rng)
    elements = clients.sample_ratings(moods, _rating_drop(world, clients, course), rng)
    elements[~answered] = np.nan
    is_aware = rng.random(len(clients.level)) < world.clinician_awareness
    clinician_answered = (appointment == HELD) & (rng.random(moods.shape) >= world.clinician_missing_rate)
    observations = Observations(
        elements,
        elements.mean(axis=2),
        np.where(clinician_answered, _sample_clinician_totals(world, clients, course, moods, is_aware, rng), np.nan),
        np.where(answered, _sample_tension_reports(world, course.in_rupture, world.tension_report_rate, rng), np.nan),
        np.where(
            clinician_answered,
            _sample_tension_reports(
                world, course.in_rupture & is_aware[:, None], world.clinician_tension_report_rate, rng
            ),
            np.nan,
        ),
        rng.random(moods.shape) < world.clinician_first_share,
        appointment,
    )
    course_fields = (
        course.onset_session,
        course.end_session,
        course.kind,
        course.depth,
        course.severity_path,
        course.affected_elements,
        course.appointment_count,
    )
    return Relationships(observations, GroundTruth(*course_fields, clients.lookalike, expected, spread))


def _rating_drop(world: WorldSettings, clients: Clients, course: Course) -> FloatArray:
    """By how many points the rupture lowers each element."""
    share = np.select(
        [course.kind == WITHDRAWAL, course.kind == DIVERGENCE], [0.0, world.ruptures.divergence_share], 1.0
    )
    drop_at_full_severity = share * course.depth * (clients.spread if world.ruptures.in_own_spreads else world.spread)
    drop: FloatArray = (drop_at_full_severity[:, None] * course.severity_path)[..., None] * course.affected_elements[
        :, None, :
    ]
    return drop


def _sample_appointments(world: WorldSettings, clients: Clients, course: Course, rng: np.random.Generator) -> IntArray:
    count, sessions = len(course.severity_path), len(course.severity_path[0])
    sessions_so_far, lookalikes = np.arange(sessions), world.lookalikes
    is_absent = _sample_occurrences(
        world.absence_rate,
        world.absence_concentration,
        world.absence_factor_in_rupture,
        world.absence_factor_in_withdrawal,
        course,
        rng,
    )
    holiday_start = rng.integers(2, sessions - lookalikes.holiday_sessions[1], count)[:, None]
    holiday_end = (
        holiday_start + rng.integers(lookalikes.holiday_sessions[0], lookalikes.holiday_sessions[1] + 1, count)[:, None]
    )
    is_excused = rng.random((count, sessions)) < world.excused_rate
    is_excused |= (
        (sessions_so_far >= holiday_start) & (sessions_so_far < holiday_end) & (clients.lookalike == 4)[:, None]
    )
    outcome = np.where(is_excused, EXCUSED, np.where(is_absent, ABSENT, HELD))
    outcome[:, 0] = HELD
    return np.where(sessions_so_far >= course.appointment_count[:, None], ENDED, outcome)


def _sample_occurrences(
    rate: float,
    concentration: float,
    rupture_factor: float,
    withdrawal_factor: float,
    course: Course,
    rng: np.random.Generator,
) -> BoolArray:
    """Where something occurs that each client has an own rate of, and that is more frequent in a rupture."""
    client_rate = rng.beta(rate * concentration, (1 - rate) * concentration, len(course.kind))[:, None]
    factor = np.where((course.kind == WITHDRAWAL)[:, None], withdrawal_factor, rupture_factor)
    probability = np.where(course.in_rupture, np.minimum(0.9, factor * client_rate), client_rate)
    return np.asarray(rng.random(course.severity_path.shape) < probability)


def _sample_clinician_totals(
    world: WorldSettings,
    clients: Clients,
    course: Course,
    moods: FloatArray,
    is_aware: BoolArray,
    rng: np.random.Generator,
) -> FloatArray:
    """The clinician's total: with a level of its own, and lower in those ruptures that the clinician notices."""
    count, level_correlation, session_correlation = (
        len(is_aware),
        world.clinician_correlation,
        world.clinician_session_correlation,
    )
    standardized_level = level_correlation * (clients.level - world.level) / world.level_varies + np.sqrt(
        1 - level_correlation**2
    ) * rng.normal(size=count)
    level = world.clinician_level + world.clinician_level_varies * standardized_level
    spread = world.clinician_spread * np.exp(rng.normal(0, world.spread_varies, count))
    depth_share = np.where(
        course.kind == DIVERGENCE,
        -world.ruptures.divergence_share,
        is_aware * rng.uniform(*world.clinician_depth_share, count),
    )
    noise = session_correlation * moods + np.sqrt(1 - session_correlation**2) * unit_noise(
        world.noise_degrees_of_freedom, moods.shape, rng
    )
    ratings = level[:, None] + spread[:, None] * (noise - (depth_share * course.depth)[:, None] * course.severity_path)
    if world.has_ceiling:
        ratings = np.clip(ratings, 0, 100)
    rounding_step = 10 / ELEMENT_COUNT  # the mean of eight whole answers
    return np.round(ratings / rounding_step) * rounding_step if world.is_rounded else ratings


def _sample_tension_reports(
    world: WorldSettings, in_rupture: BoolArray, sensitivity: float, rng: np.random.Generator
) -> FloatArray:
    """Whether each answer to the direct question reports tension: 1 for yes, 0 for no."""
    return 1.0 * (rng.random(in_rupture.shape) < np.where(in_rupture, sensitivity, world.false_tension_report_rate))
