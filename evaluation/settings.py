"""The parameters of the simulated clinics, read from `worlds.toml`. A missing or misspelt key is an error."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

RuptureKind = Literal["v", "step", "slide", "elements", "withdrawal", "divergence"]
KINDS: tuple[RuptureKind, ...] = ("v", "step", "slide", "elements", "withdrawal", "divergence")
TOTAL_VISIBLE_KINDS = tuple(KINDS.index(kind) for kind in ("v", "step", "slide"))
"""Indexes in KINDS of the ruptures that lower all ratings, so that the total shows them in full."""
Range = tuple[float, float]


class FrozenSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RuptureSettings(FrozenSettings):
    kinds: dict[RuptureKind, float]
    depth: Range
    in_own_spreads: bool
    onset_session: tuple[int, int]
    v_sessions: tuple[int, int]
    slide_sessions: tuple[int, int]
    affected_elements: tuple[int, int]
    repair_after_sessions: tuple[int, int]
    repair_share: float
    divergence_share: float


class LookalikeSettings(FrozenSettings):
    """Stable relationships that look alarming, as shares of all stable ones."""

    always_low: float
    noisy: float
    bad_day: float
    holiday: float
    low_by_points: Range
    noise_factor: float
    holiday_sessions: tuple[int, int]


class WorldSettings(FrozenSettings):
    level: float
    level_varies: float
    spread: float
    spread_varies: float
    loading: float
    element_varies: float
    autocorrelation: float
    trend: float
    trend_varies: float
    noise_degrees_of_freedom: int
    has_ceiling: bool
    is_rounded: bool
    straight_liner_share: float
    bad_day_rate: float
    bad_day_depth: Range
    missing_rate: float
    missing_concentration: float
    missing_factor_in_rupture: float
    missing_factor_in_withdrawal: float
    absence_rate: float
    absence_concentration: float
    absence_factor_in_rupture: float
    absence_factor_in_withdrawal: float
    excused_rate: float
    dropout_rate: float
    dropout_factor_early: float
    dropout_factor_in_rupture: float
    clinician_level: float
    clinician_level_varies: float
    clinician_correlation: float
    clinician_spread: float
    clinician_session_correlation: float
    clinician_missing_rate: float
    clinician_awareness: float
    clinician_depth_share: Range
    clinician_first_share: float
    tension_report_rate: float
    clinician_tension_report_rate: float
    false_tension_report_rate: float
    ruptures: RuptureSettings
    lookalikes: LookalikeSettings


class RunSettings(FrozenSettings):
    sessions: int
    relationships: int
    relationships_short: int
    bootstrap_resamples: int
    seed: int
    false_alarm_budget: float
    false_onset_budget_percent: float
    rupture_base_rate: float
    caseload: int


class SimulatedWorld(FrozenSettings):
    """One world: the settings that results are reported for, and those that thresholds and priors were made with."""

    name: str
    title: str
    counts_for_criteria: bool
    """Whether it counts for the criteria; the other worlds are only shown."""
    reported: WorldSettings
    tuned: WorldSettings


class EvaluationSettings(FrozenSettings):
    run: RunSettings
    worlds: tuple[SimulatedWorld, ...]
    declared_misses: dict[str, str]
    """The reason for each criterion that is known to be missed, by its key."""


DEFAULT_PATH = Path(__file__).with_name("worlds.toml")


def load_settings(path: Path = DEFAULT_PATH) -> EvaluationSettings:
    """Read the settings. Raises pydantic's ValidationError if a key is missing, misspelt or has a wrong type."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    worlds = tuple(
        _parse_world(name, world_table, document["world"]) for name, world_table in document["worlds"].items()
    )
    return EvaluationSettings(
        run=RunSettings(**document["run"]), worlds=worlds, declared_misses=document.get("declared_misses", {})
    )


def _parse_world(name: str, world_table: dict[str, Any], defaults: dict[str, Any]) -> SimulatedWorld:
    ruptures = defaults["ruptures"] | world_table.get("ruptures", {})
    reported = defaults | world_table["change"] | {"ruptures": ruptures}
    return SimulatedWorld(
        name=name,
        title=world_table["title"],
        counts_for_criteria=world_table["counts_for_criteria"],
        reported=WorldSettings(**reported),
        tuned=WorldSettings(**reported | world_table["tuning"]),
    )
