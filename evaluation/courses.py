"""Simulated courses: when a rupture began, how it developed, and when the relationship ended."""

from dataclasses import dataclass

import numpy as np

from evaluation.relationships import ELEMENT_COUNT, BoolArray, FloatArray, IntArray
from evaluation.settings import KINDS, RuptureKind, WorldSettings


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
        no_severity, all_elements = np.zeros((count, sessions)), np.ones((count, ELEMENT_COUNT), bool)
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
        element_ranks = rng.random((count, ELEMENT_COUNT)).argsort(axis=1).argsort(axis=1)
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
