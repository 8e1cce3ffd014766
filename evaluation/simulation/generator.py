"""Generates simulated relationships. The same seed gives the same relationships.

The samples of the standard trial: stable relationships and ruptured ones, of 16 appointments. The mix: both, with
treatments of realistic lengths. The long samples: weekly over two years.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from evaluation.simulation import answers
from evaluation.simulation.clients import sample_clients
from evaluation.simulation.courses import (
    MIN_APPOINTMENTS_BEFORE_DROPOUT,
    begin,
    course_of,
    end_at,
    sample_appointment_counts,
    sample_onsets,
    sample_planned_counts,
    sample_ruptures,
)
from evaluation.simulation.histories import History
from evaluation.simulation.settings import KINDS, TOTAL_VISIBLE_KINDS, LongSettings, WorldSettings
from evaluation.simulation.truth import (
    FORM,
    HELD,
    NOT_ANSWERED,
    Clients,
    FloatArray,
    GroundTruth,
    IntArray,
    Observations,
    Relationships,
    Ruptures,
)

TRIAL_APPOINTMENTS = 16
LongSample = Literal["mixed", "shift", "shift_and_rupture", "rupture"]
"""Mixed: everything happens. Shift: only a level shift. Shift and rupture: a deep rupture follows the level shift.
Rupture: its twin, the same relationship without the shift."""


def generate_stable(
    world: WorldSettings, count: int, seed: int, appointments: int = TRIAL_APPOINTMENTS
) -> Relationships:
    """Relationships without a rupture, some of which look alarming."""
    rng = np.random.default_rng([seed, 0])
    clients = sample_clients(world, count, appointments, rng, with_lookalikes=True)
    ruptures = sample_ruptures(world, clients, 1, appointments, rng)
    planned = sample_trial_counts(world, count, appointments, rng)
    return _observe(world, clients, ruptures, History.ordinary(count, appointments), planned, rng)


def generate_ruptured(
    world: WorldSettings, count: int, seed: int, appointments: int = TRIAL_APPOINTMENTS
) -> Relationships:
    """Relationships with one rupture each; none ends before its rupture begins."""
    rng = np.random.default_rng([seed, 1])
    clients = sample_clients(world, count, appointments, rng, with_lookalikes=False)
    ruptures = sample_ruptures(world, clients, 1, appointments, rng)
    first, last = world.ruptures.onset_session
    planned = sample_trial_counts(world, count, appointments, rng)
    onset = rng.integers(first - 1, np.minimum(last, planned))
    ruptures = begin(ruptures, onset[:, None])
    stays_until = sample_appointment_counts(world, ruptures, onset, appointments, rng)
    return _observe(
        world, clients, ruptures, History.ordinary(count, appointments), np.minimum(planned, stays_until), rng
    )


def sample_trial_counts(world: WorldSettings, count: int, appointments: int, rng: np.random.Generator) -> IntArray:
    """How many appointments each treatment of a trial has if nobody drops out."""
    if world.ends_as_planned:
        return sample_planned_counts(world, count, appointments, rng)
    return np.full(count, appointments)


def generate_mix(world: WorldSettings, count: int, ruptured_share: float, seed: int) -> Relationships:
    """Treatments of realistic lengths, with drop-out; about `ruptured_share` of them have a rupture.

    None looks alarming on purpose: these are shares of a sample that is meant to be difficult.
    """
    rng, appointments = np.random.default_rng([seed, 2]), world.planned_range[1]
    clients = sample_clients(world, count, appointments, rng, with_lookalikes=False)
    ruptures = sample_ruptures(world, clients, 1, appointments, rng)
    planned = sample_planned_counts(world, count, appointments, rng)
    onset = np.where(rng.random(count) < ruptured_share, rng.integers(1, planned), appointments)
    ruptures = begin(ruptures, onset[:, None])
    first_dropout = np.full(count, MIN_APPOINTMENTS_BEFORE_DROPOUT)
    stays_until = sample_appointment_counts(world, ruptures, first_dropout, appointments, rng)
    return _observe(
        world, clients, ruptures, History.ordinary(count, appointments), np.minimum(planned, stays_until), rng
    )


def generate_long(world: WorldSettings, long: LongSettings, count: int, seed: int, sample: LongSample) -> Relationships:
    """Weekly relationships over two years. `shift_and_rupture` and `rupture` are twins if they have the same seed."""
    rng, appointments, is_mixed = np.random.default_rng([seed, 3]), long.appointments, sample == "mixed"
    clients = sample_clients(world, count, appointments, rng, with_lookalikes=is_mixed)
    has_shift = rng.random(count) < {"mixed": long.shift_share, "rupture": 0.0}.get(sample, 1.0)
    history = History.sample(long, count, rng, has_shift, only_shift=not is_mixed)
    if is_mixed:
        ruptures = sample_ruptures(world, clients, long.max_ruptures, appointments, rng)
        onset = sample_onsets(long.rupture_rate, long.pause_after_rupture, ruptures, appointments, rng)
    else:
        ruptures = sample_ruptures(_with_deep_ruptures(world, long), clients, 1, appointments, rng)
        first, last = long.deep_rupture_after_shift
        onset = (history.planned_shift_session + rng.integers(first, last + 1, count))[:, None]
    if sample != "shift":
        ruptures = _end_at_transfer(begin(ruptures, onset), history)
    return _observe(world, clients, ruptures, history, np.full(count, appointments), rng, long)


def _with_deep_ruptures(world: WorldSettings, long: LongSettings) -> WorldSettings:
    """The same world, with ruptures that are deep and lower all ratings."""
    kinds = {kind: share for kind, share in world.ruptures.kinds.items() if KINDS.index(kind) in TOTAL_VISIBLE_KINDS}
    deep = {"depth": long.deep_rupture_depth, "kinds": dict.fromkeys(KINDS, 0.0) | kinds}
    return world.model_copy(update={"ruptures": world.ruptures.model_copy(update=deep)})


def _end_at_transfer(ruptures: Ruptures, history: History) -> Ruptures:
    """A rupture is between two people: it ends when the client goes on with another clinician."""
    transfer = history.transfer_session[:, None]
    is_cut = (ruptures.onset < transfer) & (transfer < ruptures.end)
    end = np.where(is_cut, transfer, ruptures.end)
    return replace(ruptures, end=end, is_repaired=ruptures.is_repaired & ~is_cut)


def _observe(
    world: WorldSettings,
    clients: Clients,
    ruptures: Ruptures,
    history: History,
    appointment_count: IntArray,
    rng: np.random.Generator,
    long: LongSettings | None = None,
) -> Relationships:
    appointments = history.week.shape[1]
    twin_rng, observation_rng = rng.spawn(2)  # the same for twins, whatever was drawn before
    ruptures = end_at(ruptures, appointment_count, appointments)
    course = history.apply(course_of(world, clients, ruptures, appointment_count, appointments))
    steps = answers.answer_steps(clients, history.instrument, long.instrument_step if long else 0.0)
    form = answers.Form(world, clients, history.instrument, steps)
    expected = answers.expected_totals(form, course)
    spread = answers.total_spreads(form, course, expected, twin_rng)
    truth = GroundTruth(clients, ruptures, replace(course, expected_total=expected, total_spread=spread))
    stale_rate = history.source_gap * (long.stale_rate if long else 0.0)
    return Relationships(_sample_observations(form, truth, history, stale_rate, observation_rng), truth)


def _sample_observations(
    form: answers.Form, truth: GroundTruth, history: History, stale_rate: FloatArray, rng: np.random.Generator
) -> Observations:
    world, course, shape = form.world, truth.course, stale_rate.shape
    mood_rng, answer_rng = rng.spawn(2)
    moods = answers.effective_moods(world, truth.clients, shape[1], mood_rng)
    drops = answers.element_drops(truth.ruptures, course)
    elements = answers.sample_answers(form, course, moods, drops, answer_rng)
    appointment = answers.sample_appointments(world, truth, stale_rate, rng)
    missing = answers.missing_probability(world, truth.clients, truth.ruptures, course.number, moods)
    is_missing = rng.random(shape) < np.maximum(missing, stale_rate)
    elements[(appointment != HELD) | is_missing] = np.nan
    clinician_total = answers.sample_clinician_totals(world, truth, moods, rng)
    clinician_total[(appointment != HELD) | (rng.random(shape) < world.clinician_missing_rate)] = np.nan
    not_asked = np.full(shape, NOT_ANSWERED)
    return Observations(
        elements=np.where((history.instrument == FORM)[..., None], elements, np.nan),
        total=elements.mean(axis=-1),
        clinician_total=clinician_total,
        tension=not_asked,
        talked_about=not_asked,
        clinician_tension=not_asked,
        clinician_talked_about=not_asked,
        clinician_first=rng.random(shape) < world.clinician_first_share,
        appointment=appointment,
        instrument=history.instrument,
        answer_step=form.step,
        language=history.language,
        source_gap=history.source_gap,
    )
