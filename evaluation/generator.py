"""Generates simulated relationships.

The ground truth is the latent process: when a rupture began and ended, its kind and its depth. It is never a threshold
on observations. The same seed gives the same relationships.
"""

from dataclasses import dataclass

import numpy as np

from evaluation.relationships import (
    ABSENT,
    ENDED,
    EXCUSED,
    HELD,
    LOOKALIKES,
    BoolArray,
    FloatArray,
    GroundTruth,
    IntArray,
    Observations,
    Relationships,
)
from evaluation.settings import KINDS, RuptureKind, WorldSettings

ELEMENTS = 8
TWIN_COUNT = 40  # stable copies of each relationship, from which the oracle knows its level and spread
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
        element_offsets = rng.normal(0, world.element_varies, (count, ELEMENTS))
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
        common_spread = self.spread / np.sqrt(1 + element_noise_ratio**2 / ELEMENTS)
        trend = self.trend[:, None] * np.arange(moods.shape[1])
        totals = self.level[:, None] + trend + common_spread[:, None] * moods
        element_noise = (element_noise_ratio * common_spread)[:, None, None] * rng.normal(size=(*moods.shape, ELEMENTS))
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


@dataclass(frozen=True, slots=True)
class Course:
    """When the rupture began, how it developed, and when the relationship ended."""

    onset_session: IntArray
    end_session: IntArray
    kind: IntArray
    depth: FloatArray
    severity_path: FloatArray
    affected_elements: BoolArray
    appointment_count: IntArray

    @property
    def in_rupture(self) -> BoolArray:
        sessions = np.arange(self.severity_path.shape[1])
        return np.asarray((sessions >= self.onset_session[:, None]) & (sessions < self.end_session[:, None]))

    @classmethod
    def without_rupture(cls, count: int, sessions: int) -> "Course":
        beyond_last = np.full(count, sessions)
        no_severity, all_elements = np.zeros((count, sessions)), np.ones((count, ELEMENTS), bool)
        return cls(
            beyond_last, beyond_last, np.full(count, -1), np.zeros(count), no_severity, all_elements, beyond_last
        )

    @classmethod
    def sample(cls, world: WorldSettings, count: int, sessions: int, rng: np.random.Generator) -> "Course":
        rupture_settings = world.ruptures
        shares = np.array([rupture_settings.kinds[kind] for kind in KINDS])
        kind = rng.choice(len(KINDS), count, p=shares / shares.sum())
        onset_session = rng.integers(rupture_settings.onset_session[0] - 1, rupture_settings.onset_session[1], count)
        sessions_since_onset = np.arange(sessions) - onset_session[:, None]
        severity_path = _sample_severity_paths(world, kind, sessions_since_onset, rng)
        end_session = sessions - np.argmax((severity_path > 0)[:, ::-1], axis=1)
        element_ranks = rng.random((count, ELEMENTS)).argsort(axis=1).argsort(axis=1)
        affected_elements = (
            element_ranks
            < rng.integers(rupture_settings.affected_elements[0], rupture_settings.affected_elements[1] + 1, count)[
                :, None
            ]
        )
        affected_elements |= (kind != KINDS.index("elements"))[:, None]
        appointment_count = _sample_appointment_counts(world, sessions_since_onset, end_session, rng)
        return cls(
            onset_session,
            np.minimum(end_session, appointment_count),
            kind,
            rng.uniform(*rupture_settings.depth, count),
            severity_path,
            affected_elements,
            appointment_count,
        )


def _sample_severity_paths(
    world: WorldSettings, kind: IntArray, sessions_since_onset: IntArray, rng: np.random.Generator
) -> FloatArray:
    """The share of its depth that each rupture has, by sessions since its onset."""
    rupture_settings, count, sessions = world.ruptures, len(sessions_since_onset), len(sessions_since_onset[0])
    v_duration = rng.integers(rupture_settings.v_sessions[0], rupture_settings.v_sessions[1] + 1, count)[:, None]
    slide_duration = rng.integers(rupture_settings.slide_sessions[0], rupture_settings.slide_sessions[1] + 1, count)[
        :, None
    ]
    repair_delay = rng.integers(
        rupture_settings.repair_after_sessions[0], rupture_settings.repair_after_sessions[1] + 1, count
    )
    duration = np.where(rng.random(count) < rupture_settings.repair_share, repair_delay, sessions)[:, None]
    v = np.clip(1 - sessions_since_onset / v_duration, 0, 1)
    step = 1.0 * (sessions_since_onset < duration)
    slide = np.clip((sessions_since_onset + 1) / slide_duration, 0, 1) * (
        sessions_since_onset < slide_duration + duration
    )
    v_or_step = np.where((rng.random(count) < 0.5)[:, None], v, step)
    shapes: dict[RuptureKind, FloatArray] = {"v": v, "step": step, "slide": slide, "elements": v_or_step}
    severity_path: FloatArray = np.choose(kind[:, None], [shapes.get(k, step) for k in KINDS]) * (
        sessions_since_onset >= 0
    )
    return severity_path


def _sample_appointment_counts(
    world: WorldSettings, sessions_since_onset: IntArray, end_session: IntArray, rng: np.random.Generator
) -> IntArray:
    """After how many appointments each relationship ends; an unrepaired rupture makes a drop-out likelier."""
    sessions = np.arange(sessions_since_onset.shape[1])
    hazard = world.dropout_rate * np.where(sessions < 4, world.dropout_factor_early, 1.0)
    hazard = np.where(
        (sessions_since_onset >= 0) & (sessions < end_session[:, None]),
        world.dropout_factor_in_rupture * hazard,
        hazard,
    )
    drops_out = (rng.random(sessions_since_onset.shape) < hazard) & (sessions_since_onset >= 0)
    return np.where(drops_out.any(axis=1), drops_out.argmax(axis=1) + 1, sessions_since_onset.shape[1])


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
    rounding_step = 10 / ELEMENTS  # the mean of eight whole answers
    return np.round(ratings / rounding_step) * rounding_step if world.is_rounded else ratings


def _sample_tension_reports(
    world: WorldSettings, in_rupture: BoolArray, sensitivity: float, rng: np.random.Generator
) -> FloatArray:
    """Whether each answer to the direct question reports tension: 1 for yes, 0 for no."""
    return 1.0 * (rng.random(in_rupture.shape) < np.where(in_rupture, sensitivity, world.false_tension_report_rate))


def unit_noise(degrees_of_freedom: int, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Noise with a standard deviation of one: normal if `degrees_of_freedom` is 0, else Student's t."""
    if not degrees_of_freedom:
        return rng.normal(size=shape)
    return np.clip(
        rng.standard_t(degrees_of_freedom, shape) / np.sqrt(degrees_of_freedom / (degrees_of_freedom - 2)), -8, 8
    )
