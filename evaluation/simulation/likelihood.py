"""How likely an observation is, given the mood and the rupture that is present: the mirror image of `answers`.

The mood is on a grid; everything else is known. So the likelihood of a whole course is exact, up to the grid.
"""

from dataclasses import dataclass
from functools import cache
from math import erf, sqrt

import numpy as np

from evaluation.simulation import answers
from evaluation.simulation.clients import SCALE_MIDDLE
from evaluation.simulation.courses import of_present
from evaluation.simulation.noise import NoiseLaw
from evaluation.simulation.settings import WorldSettings
from evaluation.simulation.truth import (
    ABSENT,
    ELEMENT_COUNT,
    HELD,
    BoolArray,
    FloatArray,
    IntArray,
    Observations,
    Relationships,
)

GRID_STEP = 0.25  # spreads
GRID_BOUNDS = {"normal": (-5.0, 5.0), "heavy": (-8.0, 8.0), "skewed": (-8.0, 3.0)}
LOWEST_PROBABILITY = 1e-12  # of one answer: no single observation excludes anything for good
LAW_LIMIT, LAW_STEP = 40.0, 0.005
_TABLE_LIMIT, _TABLE_SCALE = 9.0, 512
_NORMAL_CDF = np.array(
    [(1 + erf(x / sqrt(2))) / 2 for x in np.arange(-_TABLE_LIMIT, _TABLE_LIMIT + 1e-9, 1 / _TABLE_SCALE)]
)


@dataclass(frozen=True, slots=True)
class MoodGrid:
    """The moods that are considered, and how likely each follows another."""

    moods: FloatArray
    with_bad_days: FloatArray
    """The same, continued downwards by the depth of a bad day."""
    initial: FloatArray
    transition: FloatArray
    bad_day_shifts: IntArray
    """By how many steps of the grid a bad day lowers a mood."""

    @classmethod
    def of(cls, world: WorldSettings) -> "MoodGrid":
        low, high = GRID_BOUNDS[world.noise]
        moods = np.arange(low, high + GRID_STEP / 2, GRID_STEP)
        law, correlation = NoiseLaw.of(world), world.autocorrelation
        innovation = (moods[None, :] - correlation * moods[:, None]) / np.sqrt(1 - correlation**2)
        transition, initial = law.density(innovation) + 1e-300, law.density(moods)
        shallow, deep = (round(depth / GRID_STEP) for depth in world.bad_day_depth)
        below = low - GRID_STEP * np.arange(deep, 0, -1)
        return cls(
            moods,
            np.concatenate([below, moods]),
            initial / initial.sum(),
            transition / transition.sum(axis=1, keepdims=True),
            np.arange(shallow, deep + 1),
        )

    def mix_bad_days(self, likelihood: FloatArray, rate: FloatArray) -> FloatArray:
        """The likelihood by mood, from that by the mood with bad days."""
        ends, count = self.with_bad_days.size, self.moods.size
        on_bad_day = np.mean(
            [likelihood[:, ends - count - shift : ends - shift] for shift in self.bad_day_shifts.tolist()], axis=0
        )
        return np.asarray((1 - rate)[:, None] * likelihood[:, ends - count :] + rate[:, None] * on_bad_day)


def _normal_cdf(x: FloatArray) -> FloatArray:
    index = np.clip(x, -_TABLE_LIMIT, _TABLE_LIMIT) + (_TABLE_LIMIT + 0.5 / _TABLE_SCALE)
    return np.asarray(_NORMAL_CDF[(index * _TABLE_SCALE).astype(np.int32)])


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The likelihood of each appointment's observations, by mood with bad days."""

    world: WorldSettings
    relationships: Relationships
    moods: FloatArray
    with_behaviour: bool
    """Whether it is also of the clinician's rating, of absence and of missing forms."""
    low: FloatArray
    """The lowest latent rating at which each answer is given."""
    high: FloatArray
    is_single: BoolArray
    common_spread: FloatArray
    answer_spread: FloatArray
    """Of the noise that is an answer's own."""

    @classmethod
    def of(
        cls, world: WorldSettings, relationships: Relationships, moods: FloatArray, with_behaviour: bool
    ) -> "Likelihood":
        observations, clients = relationships.observations, relationships.truth.clients
        form = answers.Form(world, clients, observations.instrument, observations.answer_step)
        common = answers.common_spread(world, relationships.truth.course.spread)
        own_spread = answers.element_noise_ratio(world) * common
        return cls(
            world,
            relationships,
            moods,
            with_behaviour,
            *_latent_bounds(observations, form),
            form.is_single,
            common,
            np.where(form.is_single, own_spread / np.sqrt(ELEMENT_COUNT), own_spread),
        )

    def at(self, t: int, number: IntArray, severity: FloatArray) -> FloatArray:
        """At appointment `t`, if the rupture `number` is present with this severity; -1 if none is.

        What was not observed has a likelihood of one.
        """
        of_answers = self._of_answers(t, number, severity)
        return of_answers * (self._of_behaviour(t, number, severity) if self.with_behaviour else self._of_selection(t))

    def by_mood(self, grid: MoodGrid, t: int, number: IntArray, severity: FloatArray) -> FloatArray:
        """The same by the mood of the grid, on a bad day or not."""
        clients = self.relationships.truth.clients
        is_sure_once = (clients.bad_day_session >= 0) & (t > 0)
        rate = clients.bad_day_rate + is_sure_once / (self.low.shape[1] - 1)
        return grid.mix_bad_days(self.at(t, number, severity), rate)

    def _of_answers(self, t: int, number: IntArray, severity: FloatArray) -> FloatArray:
        truth, is_single, answered = (
            self.relationships.truth,
            self.is_single[:, t],
            self.relationships.observations.answered[:, t],
        )
        rows = np.arange(len(number))
        drops = severity[:, None] * truth.ruptures.element_drop[rows, np.maximum(number, 0)]
        shifts = np.where(is_single[:, None], -drops.mean(axis=1, keepdims=True), truth.clients.element_offsets - drops)
        usual = truth.course.level[:, t, None] + self.common_spread[:, t, None] * self.moods
        spread, product = self.answer_spread[:, t, None], np.ones(usual.shape)
        for element in range(ELEMENT_COUNT):
            counts = rows[answered & ~is_single] if element else rows[answered]  # a single answer counts once
            expected = usual[counts] + shifts[counts, element, None]
            low, high = (bound[counts, t, element, None] for bound in (self.low, self.high))
            product[counts] *= _of_answer((low - expected) / spread[counts], (high - expected) / spread[counts])
        return product

    def _of_selection(self, t: int) -> FloatArray | float:
        """Of the client's answering at all, where that depends on the mood and on nothing else."""
        if not self.world.selectivity:
            return 1.0
        return np.where(
            self.relationships.observations.answered[:, t, None],
            1 - self._missing_probability(np.full(len(self.relationships), -1)),
            1.0,
        )

    def _of_behaviour(self, t: int, number: IntArray, severity: FloatArray) -> FloatArray:
        observations, truth = self.relationships.observations, self.relationships.truth
        absence = answers.absence_probability(truth.clients, truth.ruptures, number[:, None])
        missing = self._missing_probability(number)
        appointment, is_known = observations.appointment[:, t, None], ~observations.source_gap[:, t, None]
        is_answered = observations.answered[:, t, None]
        of_form = np.where(is_answered, 1 - missing, missing)
        of_attendance = np.where(appointment == ABSENT, absence, (1 - absence) * of_form)
        is_informative = is_known & np.isin(appointment, (HELD, ABSENT))
        return np.where(is_informative, of_attendance, 1.0) * self._of_clinician(t, number, severity)

    def _missing_probability(self, number: IntArray) -> FloatArray:
        truth = self.relationships.truth
        return answers.missing_probability(self.world, truth.clients, truth.ruptures, number[:, None], self.moods)

    def _of_clinician(self, t: int, number: IntArray, severity: FloatArray) -> FloatArray:
        truth, total = self.relationships.truth, self.relationships.observations.clinician_total[:, t, None]
        correlation, step = self.world.clinician_session_correlation, answers.clinician_step(self.world)
        drop = severity * of_present(truth.ruptures.clinician_drop, number[:, None], 0.0)[:, 0]
        own_spread = np.sqrt(1 - correlation**2)
        usual, spread = truth.clients.clinician_level[:, None], truth.clients.clinician_spread[:, None]
        low, high = (
            ((bound - usual) / spread + drop[:, None] - correlation * self.moods) / own_spread
            for bound in _answer_bounds(total, step)
        )
        return np.where(np.isnan(total), 1.0, _of_law(NoiseLaw.of(self.world), low, high))


def _latent_bounds(observations: Observations, form: answers.Form) -> tuple[FloatArray, FloatArray]:
    """Between which latent ratings each answer is given; the same twice where answers are continuous."""
    answer = np.where(form.is_single[..., None], observations.total[..., None], observations.elements)
    stretch = form.clients.stretch[:, None, None]
    low, high = _answer_bounds(answer, form.step[..., None])
    return SCALE_MIDDLE + (low - SCALE_MIDDLE) / stretch, SCALE_MIDDLE + (high - SCALE_MIDDLE) / stretch


def _answer_bounds(answer: FloatArray, step: FloatArray | float) -> tuple[FloatArray, FloatArray]:
    half = np.asarray(step) / 2
    is_lowest, is_highest = answer <= half, answer >= 100 - half
    return np.where(is_lowest, -np.inf, answer - half), np.where(is_highest, np.inf, answer + half)


def _of_answer(low: FloatArray, high: FloatArray) -> FloatArray:
    """The probability between two bounds, in spreads of normal noise; the density where they are equal."""
    if np.array_equal(low, high):
        return np.exp(-np.minimum(low**2, 100) / 2)
    probability = np.where(low == high, np.exp(-np.minimum(low**2, 100) / 2), _normal_cdf(high) - _normal_cdf(low))
    return np.maximum(probability, LOWEST_PROBABILITY)


def _of_law(law: NoiseLaw, low: FloatArray, high: FloatArray) -> FloatArray:
    """The same for noise of any law."""
    x, cumulative = _cumulative(law)
    between = np.interp(high, x, cumulative) - np.interp(low, x, cumulative)
    density = law.density(np.clip(low, -LAW_LIMIT, LAW_LIMIT))
    return np.maximum(np.where(low == high, density, between), LOWEST_PROBABILITY)


@cache
def _cumulative(law: NoiseLaw) -> tuple[FloatArray, FloatArray]:
    x = np.arange(-LAW_LIMIT, LAW_LIMIT, LAW_STEP)
    cumulative = np.cumsum(law.density(x))
    return x, cumulative / cumulative[-1]
