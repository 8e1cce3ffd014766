"""How clients and clinicians answer a form, and when they do not."""

from dataclasses import dataclass

import numpy as np

from evaluation.simulation.clients import HOLIDAY, SCALE_MIDDLE
from evaluation.simulation.courses import of_present
from evaluation.simulation.noise import NoiseLaw, sample_moods
from evaluation.simulation.settings import WorldSettings
from evaluation.simulation.truth import (
    ABSENT,
    ELEMENT_COUNT,
    ENDED,
    EXCUSED,
    FORM,
    HELD,
    BoolArray,
    Clients,
    Course,
    FloatArray,
    GroundTruth,
    IntArray,
    Ruptures,
)

MAX_PROBABILITY = 0.9  # of a missing form or an absence, in a rupture
TWIN_COUNT = 8  # stable copies of each relationship, from which the spread of its total is known
QUANTILES = 33  # of the noise, over which the expected answer is averaged


def element_noise_ratio(world: WorldSettings) -> float:
    """An element's own noise, as a multiple of the common spread."""
    return float(np.sqrt(1 / world.loading**2 - 1))


def common_spread(world: WorldSettings, spread: FloatArray) -> FloatArray:
    """The spread of the common factor: the total, with its share of the element noise, has `spread`."""
    return spread / np.sqrt(1 + element_noise_ratio(world) ** 2 / ELEMENT_COUNT)


def effective_moods(world: WorldSettings, clients: Clients, appointments: int, rng: np.random.Generator) -> FloatArray:
    """The mood of each appointment, in spreads, with the bad days that are not a rupture."""
    shape = (len(clients.level), appointments)
    moods = sample_moods(NoiseLaw.of(world), world.autocorrelation, shape, rng)
    is_bad_day = rng.random(shape) < clients.bad_day_rate[:, None]
    is_bad_day |= np.arange(appointments) == clients.bad_day_session[:, None]
    return moods - is_bad_day * rng.uniform(*world.bad_day_depth, shape)


def element_drops(ruptures: Ruptures, course: Course) -> FloatArray:
    """By how many points the rupture that is present lowers each element."""
    rows = np.arange(len(course.number))[:, None]
    return np.asarray(course.severity[..., None] * ruptures.element_drop[rows, np.maximum(course.number, 0)])


@dataclass(frozen=True, slots=True)
class Form:
    """What the clients of a world are asked, and how they use its scale."""

    world: WorldSettings
    clients: Clients
    instrument: IntArray
    step: FloatArray
    """Points between two answers, at each appointment."""

    @property
    def is_single(self) -> BoolArray:
        """Where one answer stands for all elements."""
        return np.asarray(self.clients.is_straight_liner[:, None] | (self.instrument != FORM))

    def to_answer(self, latent: FloatArray) -> FloatArray:
        """The answer to each element, given its latent rating."""
        return to_answer(latent, self.clients.stretch[:, None, None], self.step[..., None])


def sample_answers(
    form: Form, course: Course, moods: FloatArray, drops: FloatArray | float, rng: np.random.Generator
) -> FloatArray:
    """The answer to each element: in the client's steps and within the scale."""
    common = common_spread(form.world, course.spread)[..., None]
    noise = moods[..., None] + element_noise_ratio(form.world) * rng.normal(size=(*moods.shape, ELEMENT_COUNT))
    latent = course.level[..., None] + form.clients.element_offsets[:, None, :] + common * noise - drops
    return form.to_answer(np.where(form.is_single[..., None], latent.mean(axis=-1, keepdims=True), latent))


def to_answer(latent: FloatArray, stretch: FloatArray, step: FloatArray) -> FloatArray:
    """The answer that is given for a latent rating."""
    stretched = np.clip(SCALE_MIDDLE + stretch * (latent - SCALE_MIDDLE), 0, 100)
    return np.where(step > 0, np.clip(np.round(stretched / np.where(step > 0, step, 1)) * step, 0, 100), stretched)


def answer_steps(clients: Clients, instrument: IntArray, instrument_step: float) -> FloatArray:
    """Points between two answers, at each appointment."""
    return np.where(instrument == FORM, clients.answer_step[:, None], instrument_step)


def expected_totals(form: Form, course: Course) -> FloatArray:
    """The mean of the total at each appointment without a rupture, over quantiles of the noise."""
    rng, is_single = np.random.default_rng(0), form.is_single
    noise = NoiseLaw.of(form.world).sample((20_001,), rng)
    noise_variance = element_noise_ratio(form.world) ** 2 / np.where(is_single, ELEMENT_COUNT, 1)
    spread = (common_spread(form.world, course.spread) * np.sqrt(1 + noise_variance))[..., None]
    bad_days = form.clients.bad_day_rate * np.mean(form.world.bad_day_depth)
    usual_level = course.level - bad_days[:, None] * common_spread(form.world, course.spread)
    centre = usual_level[..., None] + np.where(is_single[..., None], 0.0, form.clients.element_offsets[:, None, :])
    total = np.zeros(course.level.shape)
    for quantile in np.quantile(noise, (np.arange(QUANTILES) + 0.5) / QUANTILES):
        total += form.to_answer(centre + spread * quantile).mean(axis=-1)
    return total / QUANTILES


def total_spreads(form: Form, course: Course, expected: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The spread of the total around its mean without a rupture, from stable twins of each relationship."""
    squares = np.zeros(len(expected))
    factor = course.spread / course.spread[:, :1]
    for _ in range(TWIN_COUNT):
        moods = effective_moods(form.world, form.clients, expected.shape[1], rng)
        twin = sample_answers(form, course, moods, 0.0, rng).mean(axis=-1)
        squares += (((twin - expected) / factor) ** 2).mean(axis=1)
    return np.sqrt(squares / TWIN_COUNT)[:, None] * factor


def sample_appointments(
    world: WorldSettings, truth: GroundTruth, stale_rate: FloatArray, rng: np.random.Generator
) -> IntArray:
    """The outcome of each appointment; wrongly absent, in part, while the source is stale."""
    clients, ruptures, course = truth.clients, truth.ruptures, truth.course
    session, shape, lookalikes = np.arange(course.number.shape[1]), course.number.shape, world.lookalikes
    is_absent = rng.random(shape) < absence_probability(clients, ruptures, course.number)
    is_absent |= rng.random(shape) < stale_rate
    first, longest = lookalikes.holiday_sessions
    holiday_start = rng.integers(2, shape[1] - longest, (shape[0], 1))
    holiday_end = holiday_start + rng.integers(first, longest + 1, (shape[0], 1))
    is_excused = rng.random(shape) < world.excused_rate
    is_excused |= (session >= holiday_start) & (session < holiday_end) & (clients.lookalike == HOLIDAY)[:, None]
    outcome = np.where(is_excused, EXCUSED, np.where(is_absent, ABSENT, HELD))
    outcome[(session == 0) | (session == course.transfer_session[:, None])] = HELD  # the first with a clinician
    return np.where(session >= course.appointment_count[:, None], ENDED, outcome)


def absence_probability(clients: Clients, ruptures: Ruptures, number: IntArray) -> FloatArray:
    """The probability of an absence, given which rupture is present."""
    factor, added = (of_present(f, number, d) for f, d in ((ruptures.absence_factor, 1), (ruptures.absence_added, 0)))
    return np.minimum(MAX_PROBABILITY, clients.absence_rate[:, None] * factor + added)


def missing_probability(
    world: WorldSettings, clients: Clients, ruptures: Ruptures, number: IntArray, moods: FloatArray
) -> FloatArray:
    """The probability that the client does not submit the form, given the mood and which rupture is present."""
    factor, added = (of_present(f, number, d) for f, d in ((ruptures.missing_factor, 1), (ruptures.missing_added, 0)))
    by_mood = np.exp(-world.selectivity * moods)
    return np.minimum(MAX_PROBABILITY, clients.missing_rate[:, None] * factor * by_mood + added)


def clinician_step(world: WorldSettings) -> float:
    """The clinician's total is the mean of whole answers, or continuous."""
    return world.answer_step / ELEMENT_COUNT


def sample_clinician_totals(
    world: WorldSettings, truth: GroundTruth, moods: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """The clinician's total: with a level of its own, and another in the ruptures that change it."""
    clients, correlation = truth.clients, world.clinician_session_correlation
    noise = correlation * moods + np.sqrt(1 - correlation**2) * NoiseLaw.of(world).sample(moods.shape, rng)
    drop = truth.course.severity * of_present(truth.ruptures.clinician_drop, truth.course.number, 0.0)
    latent = clients.clinician_level[:, None] + clients.clinician_spread[:, None] * (noise - drop)
    ones = np.ones_like(latent)
    return to_answer(latent, ones, clinician_step(world) * ones)
