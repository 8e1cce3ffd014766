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
    draw = np.random.default_rng([seed, 0])
    clients = Clients.drawn(world, count, draw)
    return _seen(world, clients, Course.calm(count, sessions), draw)


def ruptured(world: World, count: int, sessions: int, seed: int) -> Relationships:
    """Relationships with one rupture each, followed at least until it begins."""
    draw = np.random.default_rng([seed, 1])
    clients = Clients.drawn(world, count, draw, ordinary=True)
    return _seen(world, clients, Course.drawn(world, count, sessions, draw), draw)


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
    def drawn(cls, world: World, count: int, draw: np.random.Generator, ordinary: bool = False) -> "Clients":
        looks = world.lookalikes
        shares = np.array([looks.always_low, looks.noisy, looks.bad_day, looks.holiday])
        lookalike = draw.choice(len(LOOKALIKES), count, p=[1 - shares.sum(), *shares]) * (not ordinary)
        level = draw.normal(world.level, world.level_varies, count)
        level -= np.where(lookalike == 1, draw.uniform(*looks.low_by, count), 0)
        spread = world.spread * np.exp(draw.normal(0, world.spread_varies, count))
        spread *= np.where(lookalike == 2, looks.noisier, 1)
        offsets = draw.normal(0, world.element_varies, (count, ELEMENTS))
        return cls(
            world,
            level,
            spread,
            trend=draw.normal(world.trend, world.trend_varies, count),
            offsets=offsets - offsets.mean(axis=1, keepdims=True),
            straight=draw.random(count) < world.straight_liners,
            lookalike=lookalike,
        )

    def moods(self, sessions: int, draw: np.random.Generator) -> Numbers:
        """How each session was, in spreads, with the bad days that are no rupture."""
        count, alike = len(self.level), self.world.autocorrelation
        moods = standard(self.world.tails, (count, sessions), draw)
        for t in range(1, sessions):
            moods[:, t] = alike * moods[:, t - 1] + np.sqrt(1 - alike**2) * moods[:, t]
        bad = draw.random((count, sessions)) < self.world.bad_days
        bad[np.arange(count), draw.integers(1, sessions, count)] |= self.lookalike == 3
        return moods - bad * draw.uniform(*self.world.bad_day_depth, (count, sessions))

    def answers(self, moods: Numbers, fall: Numbers | float, draw: np.random.Generator) -> Numbers:
        """Each element as it would be rated: in whole numbers, as far as the scale goes."""
        own = np.sqrt(1 / self.world.loading**2 - 1)  # an element's own noise, in the spread of the common one
        common = self.spread / np.sqrt(1 + own**2 / ELEMENTS)  # so that the total has the spread it should
        trend = self.trend[:, None] * np.arange(moods.shape[1])
        whole = self.level[:, None] + trend + common[:, None] * moods
        single = (own * common)[:, None, None] * draw.normal(size=(*moods.shape, ELEMENTS))
        answers = whole[..., None] + self.offsets[:, None, :] + single - fall
        answers = np.where(self.straight[:, None, None], answers.mean(axis=2, keepdims=True), answers)
        if self.world.ceiling:
            answers = np.clip(answers, 0, 100)
        return np.round(answers, -1) if self.world.rounding else answers

    def usual(self, sessions: int, draw: np.random.Generator) -> tuple[Numbers, Numbers]:
        """The course and spread of each relationship without a rupture, as its stable twins show it."""
        when = np.arange(sessions) - (sessions - 1) / 2
        twins = np.stack([self.answers(self.moods(sessions, draw), 0.0, draw).mean(axis=2) for _ in range(TWINS)])
        mean, slope = twins.mean(axis=(0, 2)), (twins * when).mean(axis=(0, 2)) / (when**2).mean()
        expected = mean[:, None] + slope[:, None] * when
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
        when = np.arange(self.path.shape[1])
        return np.asarray((when >= self.onset[:, None]) & (when < self.end[:, None]))

    @classmethod
    def calm(cls, count: int, sessions: int) -> "Course":
        never = np.full(count, sessions)
        nothing, everywhere = np.zeros((count, sessions)), np.ones((count, ELEMENTS), bool)
        return cls(never, never, np.full(count, -1), np.zeros(count), nothing, everywhere, never)

    @classmethod
    def drawn(cls, world: World, count: int, sessions: int, draw: np.random.Generator) -> "Course":
        rules = world.ruptures
        shares = np.array([rules.kinds[kind] for kind in KINDS])
        kind = draw.choice(len(KINDS), count, p=shares / shares.sum())
        onset = draw.integers(rules.onset[0] - 1, rules.onset[1], count)
        since = np.arange(sessions) - onset[:, None]
        path = _paths(world, kind, since, draw)
        end = sessions - np.argmax((path > 0)[:, ::-1], axis=1)
        few = draw.random((count, ELEMENTS)).argsort(axis=1).argsort(axis=1)
        hit = few < draw.integers(rules.hit[0], rules.hit[1] + 1, count)[:, None]
        hit |= (kind != KINDS.index("elements"))[:, None]
        last = _last(world, since, end, draw)
        return cls(onset, np.minimum(end, last), kind, draw.uniform(*rules.depth, count), path, hit, last)


def _paths(world: World, kind: Counts, since: Counts, draw: np.random.Generator) -> Numbers:
    """How much of its depth each rupture has, this many sessions after its onset."""
    rules, count, sessions = world.ruptures, len(since), len(since[0])
    short = draw.integers(rules.v_sessions[0], rules.v_sessions[1] + 1, count)[:, None]
    slow = draw.integers(rules.slide_sessions[0], rules.slide_sessions[1] + 1, count)[:, None]
    repaired_after = draw.integers(rules.lasts[0], rules.lasts[1] + 1, count)
    lasts = np.where(draw.random(count) < rules.repaired, repaired_after, sessions)[:, None]
    v = np.clip(1 - since / short, 0, 1)
    step = 1.0 * (since < lasts)
    slide = np.clip((since + 1) / slow, 0, 1) * (since < slow + lasts)
    either = np.where((draw.random(count) < 0.5)[:, None], v, step)
    shapes: dict[Kind, Numbers] = {"v": v, "step": step, "slide": slide, "elements": either}
    path: Numbers = np.choose(kind[:, None], [shapes.get(k, step) for k in KINDS]) * (since >= 0)
    return path


def _last(world: World, since: Counts, end: Counts, draw: np.random.Generator) -> Counts:
    """After how many appointments each relationship is over; an unrepaired rupture makes that likelier."""
    when = np.arange(since.shape[1])
    hazard = world.dropout * np.where(when < 4, world.dropout_early, 1.0)
    hazard = np.where((since >= 0) & (when < end[:, None]), world.dropout_in_rupture * hazard, hazard)
    leaves = (draw.random(since.shape) < hazard) & (since >= 0)
    return np.where(leaves.any(axis=1), leaves.argmax(axis=1) + 1, since.shape[1])


def _seen(world: World, clients: Clients, course: Course, draw: np.random.Generator) -> Relationships:
    moods = clients.moods(course.path.shape[1], draw)
    expected, spread = clients.usual(course.path.shape[1], draw)
    appointment = _appointments(world, clients, course, draw)
    habit = (world.missing, world.missing_alike, world.missing_in_rupture, world.missing_in_withdrawal)
    answered = (appointment == HELD) & ~_now_and_then(*habit, course, draw)
    elements = clients.answers(moods, _fall(world, clients, course), draw)
    elements[~answered] = np.nan
    sees = draw.random(len(clients.level)) < world.clinician_sees
    given = (appointment == HELD) & (draw.random(moods.shape) >= world.clinician_missing)
    seen = Seen(
        elements,
        elements.mean(axis=2),
        np.where(given, _clinician(world, clients, course, moods, sees, draw), np.nan),
        np.where(answered, _told(world, course.inside, world.told, draw), np.nan),
        np.where(given, _told(world, course.inside & sees[:, None], world.told_by_clinician, draw), np.nan),
        draw.random(moods.shape) < world.clinician_first,
        appointment,
    )
    course_of = (course.onset, course.end, course.kind, course.depth, course.path, course.hit, course.last)
    return Relationships(seen, Truth(*course_of, clients.lookalike, expected, spread))


def _fall(world: World, clients: Clients, course: Course) -> Numbers:
    """By how many points each element lies lower than it would."""
    share = np.select([course.kind == WITHDRAWAL, course.kind == DIVERGENCE], [0.0, world.ruptures.diverging], 1.0)
    deep = share * course.depth * (clients.spread if world.ruptures.in_own_spreads else world.spread)
    fall: Numbers = (deep[:, None] * course.path)[..., None] * course.hit[:, None, :]
    return fall


def _appointments(world: World, clients: Clients, course: Course, draw: np.random.Generator) -> Counts:
    count, sessions = len(course.path), len(course.path[0])
    when, looks = np.arange(sessions), world.lookalikes
    away = _now_and_then(world.away, world.away_alike, world.away_in_rupture, world.away_in_withdrawal, course, draw)
    leave = draw.integers(2, sessions - looks.holiday_sessions[1], count)[:, None]
    back = leave + draw.integers(looks.holiday_sessions[0], looks.holiday_sessions[1] + 1, count)[:, None]
    excused = draw.random((count, sessions)) < world.excused
    excused |= (when >= leave) & (when < back) & (clients.lookalike == 4)[:, None]
    became = np.where(excused, EXCUSED, np.where(away, AWAY, HELD))
    became[:, 0] = HELD
    return np.where(when >= course.last[:, None], OVER, became)


def _now_and_then(
    usual: float, alike: float, in_rupture: float, in_withdrawal: float, course: Course, draw: np.random.Generator
) -> Flags:
    """What happens now and then, with each client's own habit, and more often in a rupture."""
    habit = draw.beta(usual * alike, (1 - usual) * alike, len(course.kind))[:, None]
    times = np.where((course.kind == WITHDRAWAL)[:, None], in_withdrawal, in_rupture)
    chance = np.where(course.inside, np.minimum(0.9, times * habit), habit)
    return np.asarray(draw.random(course.path.shape) < chance)


def _clinician(
    world: World, clients: Clients, course: Course, moods: Numbers, sees: Flags, draw: np.random.Generator
) -> Numbers:
    """The clinician's total: a level of its own, and those ruptures that the clinician sees."""
    count, alike, along = len(sees), world.clinician_correlation, world.clinician_session_correlation
    own = alike * (clients.level - world.level) / world.level_varies + np.sqrt(1 - alike**2) * draw.normal(size=count)
    level = world.clinician_level + world.clinician_level_varies * own
    spread = world.clinician_spread * np.exp(draw.normal(0, world.spread_varies, count))
    share = np.where(
        course.kind == DIVERGENCE, -world.ruptures.diverging, sees * draw.uniform(*world.clinician_share, count)
    )
    swing = along * moods + np.sqrt(1 - along**2) * standard(world.tails, moods.shape, draw)
    ratings = level[:, None] + spread[:, None] * (swing - (share * course.depth)[:, None] * course.path)
    if world.ceiling:
        ratings = np.clip(ratings, 0, 100)
    whole = 10 / ELEMENTS  # the mean of eight whole answers
    return np.round(ratings / whole) * whole if world.rounding else ratings


def _told(world: World, inside: Flags, sensitivity: float, draw: np.random.Generator) -> Numbers:
    """Whether somebody who was asked says that there was a tension."""
    return 1.0 * (draw.random(inside.shape) < np.where(inside, sensitivity, world.told_falsely))


def standard(tails: int, shape: tuple[int, ...], draw: np.random.Generator) -> Numbers:
    """Noise of spread one."""
    if not tails:
        return draw.normal(size=shape)
    return np.clip(draw.standard_t(tails, shape) / np.sqrt(tails / (tails - 2)), -8, 8)
