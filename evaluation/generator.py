"""How the simulated relationships come about.

The truth is the latent process (when a rupture began and ended, what kind it was, how deep), never a threshold on
what was observed. The same seed gives the same relationships.
"""

from dataclasses import dataclass

import numpy as np

from evaluation.relationships import (
    AWAY,
    EXCUSED,
    HELD,
    LOOKALIKES,
    OVER,
    Counts,
    Flags,
    Numbers,
    Relationships,
    Seen,
    Truth,
)
from evaluation.settings import KINDS, Kind, World

ELEMENTS = 8
TWINS = 40  # stable ones of each relationship, from which the oracle knows its level and spread
WITHDRAWAL, DIVERGENCE = KINDS.index("withdrawal"), KINDS.index("divergence")


def stable(world: World, count: int, sessions: int, seed: int) -> Relationships:
    """Relationships without any rupture, some of which look alarming; all are followed for all sessions."""
    rng = np.random.default_rng([seed, 0])
    clients = Clients.drawn(world, count, rng)
    return _seen(world, clients, Course.calm(count, sessions), rng)


def ruptured(world: World, count: int, sessions: int, seed: int) -> Relationships:
    """Relationships with one rupture each, followed at least until it begins."""
    rng = np.random.default_rng([seed, 1])
    clients = Clients.drawn(world, count, rng, ordinary=True)
    return _seen(world, clients, Course.drawn(world, count, sessions, rng), rng)


@dataclass(frozen=True, slots=True)
class Clients:
    """What each client is like."""

    world: World
    level: Numbers
    spread: Numbers
    trend: Numbers
    offsets: Numbers
    straight: Flags
    lookalike: Counts

    @classmethod
    def drawn(cls, world: World, count: int, rng: np.random.Generator, ordinary: bool = False) -> "Clients":
        lookalikes = world.lookalikes
        shares = np.array([lookalikes.always_low, lookalikes.noisy, lookalikes.bad_day, lookalikes.holiday])
        lookalike = rng.choice(len(LOOKALIKES), count, p=[1 - shares.sum(), *shares]) * (not ordinary)
        level = rng.normal(world.level, world.level_varies, count)
        level -= np.where(lookalike == 1, rng.uniform(*lookalikes.low_by, count), 0)
        spread = world.spread * np.exp(rng.normal(0, world.spread_varies, count))
        spread *= np.where(lookalike == 2, lookalikes.noisier, 1)
        element_offsets = rng.normal(0, world.element_varies, (count, ELEMENTS))
        return cls(
            world,
            level,
            spread,
            trend=rng.normal(world.trend, world.trend_varies, count),
            offsets=element_offsets - element_offsets.mean(axis=1, keepdims=True),
            straight=rng.random(count) < world.straight_liners,
            lookalike=lookalike,
        )

    def moods(self, sessions: int, rng: np.random.Generator) -> Numbers:
        """How each session was, in spreads, with the bad days that are no rupture."""
        count, autocorrelation = len(self.level), self.world.autocorrelation
        moods = standard(self.world.tails, (count, sessions), rng)
        for t in range(1, sessions):
            moods[:, t] = autocorrelation * moods[:, t - 1] + np.sqrt(1 - autocorrelation**2) * moods[:, t]
        is_bad_day = rng.random((count, sessions)) < self.world.bad_days
        is_bad_day[np.arange(count), rng.integers(1, sessions, count)] |= self.lookalike == 3
        return moods - is_bad_day * rng.uniform(*self.world.bad_day_depth, (count, sessions))

    def answers(self, moods: Numbers, fall: Numbers | float, rng: np.random.Generator) -> Numbers:
        """Each element as it would be rated: in whole numbers, as far as the scale goes."""
        element_noise_ratio = np.sqrt(
            1 / self.world.loading**2 - 1
        )  # an element's own noise, in the spread of the common one
        common_spread = self.spread / np.sqrt(
            1 + element_noise_ratio**2 / ELEMENTS
        )  # so that the total has the spread it should
        trend = self.trend[:, None] * np.arange(moods.shape[1])
        totals = self.level[:, None] + trend + common_spread[:, None] * moods
        element_noise = (element_noise_ratio * common_spread)[:, None, None] * rng.normal(size=(*moods.shape, ELEMENTS))
        ratings = totals[..., None] + self.offsets[:, None, :] + element_noise - fall
        ratings = np.where(self.straight[:, None, None], ratings.mean(axis=2, keepdims=True), ratings)
        if self.world.ceiling:
            ratings = np.clip(ratings, 0, 100)
        return np.round(ratings, -1) if self.world.rounding else ratings

    def usual(self, sessions: int, rng: np.random.Generator) -> tuple[Numbers, Numbers]:
        """The course and spread of each relationship without a rupture, as its stable twins show it."""
        centred_sessions = np.arange(sessions) - (sessions - 1) / 2
        twins = np.stack([self.answers(self.moods(sessions, rng), 0.0, rng).mean(axis=2) for _ in range(TWINS)])
        mean, slope = (
            twins.mean(axis=(0, 2)),
            (twins * centred_sessions).mean(axis=(0, 2)) / (centred_sessions**2).mean(),
        )
        expected = mean[:, None] + slope[:, None] * centred_sessions
        return expected, np.sqrt(((twins - expected) ** 2).mean(axis=(0, 2)))


@dataclass(frozen=True, slots=True)
class Course:
    """When a rupture began, how it went on, and when the relationship ended."""

    onset: Counts
    end: Counts
    kind: Counts
    depth: Numbers
    path: Numbers
    hit: Flags
    last: Counts

    @property
    def inside(self) -> Flags:
        sessions = np.arange(self.path.shape[1])
        return np.asarray((sessions >= self.onset[:, None]) & (sessions < self.end[:, None]))

    @classmethod
    def calm(cls, count: int, sessions: int) -> "Course":
        beyond_last = np.full(count, sessions)
        no_severity, all_elements = np.zeros((count, sessions)), np.ones((count, ELEMENTS), bool)
        return cls(
            beyond_last, beyond_last, np.full(count, -1), np.zeros(count), no_severity, all_elements, beyond_last
        )

    @classmethod
    def drawn(cls, world: World, count: int, sessions: int, rng: np.random.Generator) -> "Course":
        rupture_settings = world.ruptures
        shares = np.array([rupture_settings.kinds[kind] for kind in KINDS])
        kind = rng.choice(len(KINDS), count, p=shares / shares.sum())
        onset_session = rng.integers(rupture_settings.onset[0] - 1, rupture_settings.onset[1], count)
        sessions_since_onset = np.arange(sessions) - onset_session[:, None]
        severity_path = _paths(world, kind, sessions_since_onset, rng)
        end_session = sessions - np.argmax((severity_path > 0)[:, ::-1], axis=1)
        element_ranks = rng.random((count, ELEMENTS)).argsort(axis=1).argsort(axis=1)
        affected_elements = (
            element_ranks < rng.integers(rupture_settings.hit[0], rupture_settings.hit[1] + 1, count)[:, None]
        )
        affected_elements |= (kind != KINDS.index("elements"))[:, None]
        appointment_count = _last(world, sessions_since_onset, end_session, rng)
        return cls(
            onset_session,
            np.minimum(end_session, appointment_count),
            kind,
            rng.uniform(*rupture_settings.depth, count),
            severity_path,
            affected_elements,
            appointment_count,
        )


def _paths(world: World, kind: Counts, since: Counts, rng: np.random.Generator) -> Numbers:
    """How much of its depth each rupture has, this many sessions after its onset."""
    rupture_settings, count, sessions = world.ruptures, len(since), len(since[0])
    v_duration = rng.integers(rupture_settings.v_sessions[0], rupture_settings.v_sessions[1] + 1, count)[:, None]
    slide_duration = rng.integers(rupture_settings.slide_sessions[0], rupture_settings.slide_sessions[1] + 1, count)[
        :, None
    ]
    repair_delay = rng.integers(rupture_settings.lasts[0], rupture_settings.lasts[1] + 1, count)
    duration = np.where(rng.random(count) < rupture_settings.repaired, repair_delay, sessions)[:, None]
    v = np.clip(1 - since / v_duration, 0, 1)
    step = 1.0 * (since < duration)
    slide = np.clip((since + 1) / slide_duration, 0, 1) * (since < slide_duration + duration)
    v_or_step = np.where((rng.random(count) < 0.5)[:, None], v, step)
    shapes: dict[Kind, Numbers] = {"v": v, "step": step, "slide": slide, "elements": v_or_step}
    severity_path: Numbers = np.choose(kind[:, None], [shapes.get(k, step) for k in KINDS]) * (since >= 0)
    return severity_path


def _last(world: World, since: Counts, end: Counts, rng: np.random.Generator) -> Counts:
    """After how many appointments each relationship is over; an unrepaired rupture makes that likelier."""
    sessions = np.arange(since.shape[1])
    hazard = world.dropout * np.where(sessions < 4, world.dropout_early, 1.0)
    hazard = np.where((since >= 0) & (sessions < end[:, None]), world.dropout_in_rupture * hazard, hazard)
    drops_out = (rng.random(since.shape) < hazard) & (since >= 0)
    return np.where(drops_out.any(axis=1), drops_out.argmax(axis=1) + 1, since.shape[1])


def _seen(world: World, clients: Clients, course: Course, rng: np.random.Generator) -> Relationships:
    moods = clients.moods(course.path.shape[1], rng)
    expected, spread = clients.usual(course.path.shape[1], rng)
    appointment = _appointments(world, clients, course, rng)
    missing_rates = (world.missing, world.missing_alike, world.missing_in_rupture, world.missing_in_withdrawal)
    answered = (appointment == HELD) & ~_now_and_then(*missing_rates, course, rng)
    elements = clients.answers(moods, _fall(world, clients, course), rng)
    elements[~answered] = np.nan
    is_aware = rng.random(len(clients.level)) < world.clinician_sees
    clinician_answered = (appointment == HELD) & (rng.random(moods.shape) >= world.clinician_missing)
    observations = Seen(
        elements,
        elements.mean(axis=2),
        np.where(clinician_answered, _clinician(world, clients, course, moods, is_aware, rng), np.nan),
        np.where(answered, _told(world, course.inside, world.told, rng), np.nan),
        np.where(
            clinician_answered, _told(world, course.inside & is_aware[:, None], world.told_by_clinician, rng), np.nan
        ),
        rng.random(moods.shape) < world.clinician_first,
        appointment,
    )
    course_fields = (course.onset, course.end, course.kind, course.depth, course.path, course.hit, course.last)
    return Relationships(observations, Truth(*course_fields, clients.lookalike, expected, spread))


def _fall(world: World, clients: Clients, course: Course) -> Numbers:
    """By how many points each element lies lower than it would."""
    share = np.select([course.kind == WITHDRAWAL, course.kind == DIVERGENCE], [0.0, world.ruptures.diverging], 1.0)
    drop_at_full_severity = share * course.depth * (clients.spread if world.ruptures.in_own_spreads else world.spread)
    drop: Numbers = (drop_at_full_severity[:, None] * course.path)[..., None] * course.hit[:, None, :]
    return drop


def _appointments(world: World, clients: Clients, course: Course, rng: np.random.Generator) -> Counts:
    count, sessions = len(course.path), len(course.path[0])
    sessions_so_far, lookalikes = np.arange(sessions), world.lookalikes
    is_absent = _now_and_then(
        world.away, world.away_alike, world.away_in_rupture, world.away_in_withdrawal, course, rng
    )
    holiday_start = rng.integers(2, sessions - lookalikes.holiday_sessions[1], count)[:, None]
    holiday_end = (
        holiday_start + rng.integers(lookalikes.holiday_sessions[0], lookalikes.holiday_sessions[1] + 1, count)[:, None]
    )
    is_excused = rng.random((count, sessions)) < world.excused
    is_excused |= (
        (sessions_so_far >= holiday_start) & (sessions_so_far < holiday_end) & (clients.lookalike == 4)[:, None]
    )
    outcome = np.where(is_excused, EXCUSED, np.where(is_absent, AWAY, HELD))
    outcome[:, 0] = HELD
    return np.where(sessions_so_far >= course.last[:, None], OVER, outcome)


def _now_and_then(
    usual: float,
    concentration: float,
    rupture_factor: float,
    withdrawal_factor: float,
    course: Course,
    rng: np.random.Generator,
) -> Flags:
    """What happens now and then, with each client's own habit, and more often in a rupture."""
    client_rate = rng.beta(usual * concentration, (1 - usual) * concentration, len(course.kind))[:, None]
    factor = np.where((course.kind == WITHDRAWAL)[:, None], withdrawal_factor, rupture_factor)
    probability = np.where(course.inside, np.minimum(0.9, factor * client_rate), client_rate)
    return np.asarray(rng.random(course.path.shape) < probability)


def _clinician(
    world: World, clients: Clients, course: Course, moods: Numbers, is_aware: Flags, rng: np.random.Generator
) -> Numbers:
    """The clinician's total: a level of its own, and those ruptures that the clinician sees."""
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
        course.kind == DIVERGENCE, -world.ruptures.diverging, is_aware * rng.uniform(*world.clinician_share, count)
    )
    noise = session_correlation * moods + np.sqrt(1 - session_correlation**2) * standard(world.tails, moods.shape, rng)
    ratings = level[:, None] + spread[:, None] * (noise - (depth_share * course.depth)[:, None] * course.path)
    if world.ceiling:
        ratings = np.clip(ratings, 0, 100)
    rounding_step = 10 / ELEMENTS  # the mean of eight whole answers
    return np.round(ratings / rounding_step) * rounding_step if world.rounding else ratings


def _told(world: World, in_rupture: Flags, sensitivity: float, rng: np.random.Generator) -> Numbers:
    """Whether somebody who was asked says that there was a tension."""
    return 1.0 * (rng.random(in_rupture.shape) < np.where(in_rupture, sensitivity, world.told_falsely))


def standard(degrees_of_freedom: int, shape: tuple[int, ...], rng: np.random.Generator) -> Numbers:
    """Noise of spread one."""
    if not degrees_of_freedom:
        return rng.normal(size=shape)
    return np.clip(
        rng.standard_t(degrees_of_freedom, shape) / np.sqrt(degrees_of_freedom / (degrees_of_freedom - 2)), -8, 8
    )
