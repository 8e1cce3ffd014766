"""Draws ruptures: their kind and depth, how they develop, what they change, and when they begin."""

from dataclasses import replace
from typing import Any

import numpy as np

from evaluation.simulation.settings import KINDS, Range, RuptureSettings, WorldSettings
from evaluation.simulation.truth import ELEMENT_COUNT, BoolArray, Clients, Course, FloatArray, IntArray, Ruptures

V, STEP, SLIDE = range(3)  # the shapes
ELEMENTS, WITHDRAWAL, DIVERGENCE = (KINDS.index(kind) for kind in ("elements", "withdrawal", "divergence"))
MIN_APPOINTMENTS_BEFORE_DROPOUT = 2  # in a mix, so that there is a treatment at all
EARLY_APPOINTMENTS = 4


def sample_ruptures(
    world: WorldSettings, clients: Clients, ruptures_each: int, appointments: int, rng: np.random.Generator
) -> Ruptures:
    """Draw the ruptures that each relationship would have; none of them begins yet."""
    settings, shape = world.ruptures, (len(clients.level), ruptures_each)
    shares = np.array([settings.kinds[kind] for kind in KINDS])
    kind = rng.choice(len(KINDS), shape, p=shares / shares.sum())
    depths = rng.uniform(*settings.depth, shape)
    none_yet = np.full(shape, appointments)
    is_seen = rng.random(shape) < clients.clinician_awareness[:, None]
    missing_factor, missing_added = _sample_effect(world, "missing", kind, rng)
    absence_factor, absence_added = _sample_effect(world, "absence", kind, rng)
    return Ruptures(
        onset=none_yet,
        end=none_yet,
        kind=kind,
        depth=depths,
        element_drop=_sample_element_drops(world, clients, kind, depths, rng),
        is_seen=is_seen,
        clinician_drop=depths * _sample_clinician_falls(world, kind, is_seen, rng),
        missing_factor=missing_factor,
        missing_added=missing_added,
        absence_factor=absence_factor,
        absence_added=absence_added,
        dropout_factor=rng.uniform(*world.dropout_factor_in_rupture, shape),
        **_sample_development(settings, kind, rng),
    )


def _sample_development(settings: RuptureSettings, kind: IntArray, rng: np.random.Generator) -> dict[str, Any]:
    """How each rupture develops, and whether it is repaired."""
    shape = np.where(kind < ELEMENTS, kind, np.where(rng.random(kind.shape) < 0.5, V, STEP))
    is_repaired = (rng.random(kind.shape) < settings.repair_share) | (shape == V)
    v, slide = (_whole(bounds, kind.shape, rng) for bounds in (settings.v_sessions, settings.slide_sessions))
    repaired = _whole(settings.repair_after_sessions, kind.shape, rng)
    unrepaired = _whole(settings.unrepaired_sessions, kind.shape, rng)
    return {
        "is_repaired": is_repaired,
        "shape": shape,
        "fall_sessions": np.where(shape == V, v, slide),
        "full_sessions": np.where(is_repaired, repaired, unrepaired),
    }


def _whole(bounds: tuple[int, int], shape: tuple[int, ...], rng: np.random.Generator) -> IntArray:
    return rng.integers(bounds[0], bounds[1] + 1, shape)


def _sample_effect(
    world: WorldSettings, what: str, kind: IntArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """By what each rupture multiplies the own rate of missing forms or absences, and what it adds in a withdrawal."""
    effects: dict[str, Range] = world.effects.model_dump()
    has_effect = rng.random(kind.shape) >= world.effects.none_share
    factor = rng.uniform(*effects[f"{what}_factor"], kind.shape)
    added = rng.uniform(*effects[f"withdrawal_{what}_added"], kind.shape)
    return np.where(has_effect, factor, 1.0), np.where(has_effect & (kind == WITHDRAWAL), added, 0.0)


def _sample_element_drops(
    world: WorldSettings, clients: Clients, kind: IntArray, depth: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """By how many points each element falls at full severity."""
    effects, shape = world.effects, (*kind.shape, ELEMENT_COUNT)
    ranks = rng.random(shape).argsort(axis=-1).argsort(axis=-1)
    is_affected = ranks < _whole(effects.affected_elements, kind.shape, rng)[..., None]
    of_affected = is_affected * rng.uniform(*effects.affected_depth_factor, shape)
    of_all = rng.uniform(*effects.common_depth_factor, shape)
    withdrawal = rng.uniform(*effects.withdrawal_fall, kind.shape)
    divergence = rng.uniform(*effects.divergence_fall, kind.shape)
    share = np.select([kind == WITHDRAWAL, kind == DIVERGENCE], [withdrawal, divergence], 1.0)
    unit = clients.spread[:, None] if world.ruptures.in_own_spreads else world.spread
    factor = np.where((kind == ELEMENTS)[..., None], of_affected, of_all)
    return np.asarray((share * depth * unit)[..., None] * factor)


def _sample_clinician_falls(
    world: WorldSettings, kind: IntArray, is_seen: BoolArray, rng: np.random.Generator
) -> FloatArray:
    """By how much of the depth the clinician's rating falls."""
    has_effect = rng.random(kind.shape) >= world.effects.none_share
    fall = is_seen * rng.uniform(*world.effects.clinician_fall, kind.shape)
    rise = rng.uniform(*world.effects.divergence_rise, kind.shape)
    return np.asarray(has_effect * np.where(kind == DIVERGENCE, -rise, fall))


def severity_at(ruptures: Ruptures, since_onset: IntArray, index: IntArray | slice = slice(None)) -> FloatArray:
    """The share of its depth that a rupture has at an appointment.

    `since_onset` has the axes of the ruptures at `index` and, last, the appointments.
    """
    shape, fall, full = (
        field[:, index, None] if isinstance(index, slice) else field[np.arange(len(field)), index][:, None]
        for field in (ruptures.shape, ruptures.fall_sessions, ruptures.full_sessions)
    )
    v = np.clip(1 - since_onset / fall, 0, 1)
    step = 1.0 * (since_onset < full)
    slide = np.clip((since_onset + 1) / fall, 0, 1) * (since_onset < fall + full)
    return np.asarray(np.choose(shape, [v, step, slide]) * (since_onset >= 0))


def duration(ruptures: Ruptures) -> IntArray:
    """For how many appointments each rupture lasts if nothing ends it before."""
    return np.choose(
        ruptures.shape,
        [ruptures.fall_sessions, ruptures.full_sessions, ruptures.fall_sessions + ruptures.full_sessions],
    )


def begin(ruptures: Ruptures, onset: IntArray) -> Ruptures:
    """The same ruptures, each beginning at `onset`."""
    return replace(ruptures, onset=onset, end=onset + duration(ruptures))


def sample_onsets(rate: float, pause: int, ruptures: Ruptures, appointments: int, rng: np.random.Generator) -> IntArray:
    """When each of several ruptures begins, one after the other, at `rate` per appointment outside a rupture."""
    lasts, onsets = duration(ruptures), np.full(ruptures.kind.shape, appointments)
    next_possible = np.ones(len(lasts), int)
    for number in range(lasts.shape[1]):
        onset = next_possible + rng.geometric(rate, len(lasts)) - 1
        onsets[:, number] = np.minimum(onset, appointments)
        next_possible = onset + lasts[:, number] + pause
    return onsets


def end_at(ruptures: Ruptures, last_appointment: IntArray, appointments: int) -> Ruptures:
    """The same ruptures in relationships that end: none begins after it, and what it cuts short is not repaired."""
    last = last_appointment[:, None]
    begins = ruptures.onset < last
    return replace(
        ruptures,
        onset=np.where(begins, ruptures.onset, appointments),
        end=np.where(begins, np.minimum(ruptures.end, last), appointments),
        is_repaired=ruptures.is_repaired & (ruptures.end <= last),
    )


def rupture_numbers(ruptures: Ruptures, appointments: int) -> IntArray:
    """Which rupture is present at each appointment; -1 where none is."""
    session, number = np.arange(appointments), np.full((len(ruptures.onset), appointments), -1)
    for index in range(ruptures.onset.shape[1]):
        onset, end = ruptures.onset[:, index, None], ruptures.end[:, index, None]
        number = np.where((session >= onset) & (session < end), index, number)
    return number


def severities(ruptures: Ruptures, number: IntArray) -> FloatArray:
    """The severity at each appointment, of the rupture that is present."""
    since = np.arange(number.shape[1]) - ruptures.onset[:, :, None]
    is_present = number[:, None, :] == np.arange(ruptures.onset.shape[1])[None, :, None]
    return np.asarray((severity_at(ruptures, since) * is_present).sum(axis=1))


def of_present(field: FloatArray, number: IntArray, otherwise: float) -> FloatArray:
    """At each appointment, what `field` says of the rupture that is present; `otherwise` where none is."""
    return np.where(number >= 0, np.take_along_axis(field, np.maximum(number, 0), axis=1), otherwise)


def sample_appointment_counts(
    world: WorldSettings, ruptures: Ruptures, first_dropout: IntArray, appointments: int, rng: np.random.Generator
) -> IntArray:
    """After how many appointments each relationship ends; drop-out is likelier in a rupture."""
    session, number = np.arange(appointments), rupture_numbers(ruptures, appointments)
    hazard = dropout_hazard(world, appointments) * of_present(ruptures.dropout_factor, number, 1.0)
    drops_out = (rng.random(number.shape) < hazard) & (session >= first_dropout[:, None])
    return np.where(drops_out.any(axis=1), drops_out.argmax(axis=1) + 1, appointments)


def dropout_hazard(world: WorldSettings, appointments: int) -> FloatArray:
    """The probability that a relationship without a rupture ends with each appointment."""
    is_early = np.arange(appointments) < EARLY_APPOINTMENTS
    return world.dropout_rate * np.where(is_early, world.dropout_factor_early, 1.0)


def sample_planned_counts(world: WorldSettings, count: int, appointments: int, rng: np.random.Generator) -> IntArray:
    """How many appointments each treatment has if nobody drops out."""
    scale = world.planned_appointments / np.log(2) ** (1 / world.planned_shape)
    planned = np.ceil(scale * rng.weibull(world.planned_shape, count)).astype(int)
    return np.minimum(np.clip(planned, *world.planned_range), appointments)


def course_of(
    world: WorldSettings, clients: Clients, ruptures: Ruptures, appointment_count: IntArray, appointments: int
) -> Course:
    """The latent course without anything that only long relationships have."""
    session, count = np.arange(appointments), len(clients.level)
    tau = world.trend_appointments
    noise_factor = np.where(session >= clients.noise_change_session[:, None], clients.noise_change_factor[:, None], 1.0)
    number, nothing = rupture_numbers(ruptures, appointments), np.zeros((count, appointments))
    return Course(
        severity=severities(ruptures, number),
        number=number,
        level=clients.level[:, None] + clients.trend[:, None] * tau * (1 - np.exp(-session / tau)),
        spread=clients.spread[:, None] * noise_factor,
        appointment_count=appointment_count,
        week=np.tile(session, (count, 1)),
        shift_session=np.full(count, -1),
        shift_points=np.zeros(count),
        transfer_session=np.full(count, -1),
        expected_total=nothing,
        total_spread=nothing,
    )
