"""The parameters of the simulated clinics, read from `worlds.toml`. A missing or misspelt key is an error."""

import tomllib
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

RuptureKind = Literal["v", "step", "slide", "elements", "withdrawal", "divergence"]
KINDS: tuple[RuptureKind, ...] = get_args(RuptureKind)
TOTAL_VISIBLE_KINDS = tuple(KINDS.index(kind) for kind in ("v", "step", "slide"))
"""Indexes in KINDS of the ruptures that lower all ratings, so that the total shows them in full."""
QuestionLaw = Literal["candid", "reticent", "habitual"]
Range = tuple[float, float]
WholeRange = tuple[int, int]


class FrozenSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RuptureSettings(FrozenSettings):
    kinds: dict[RuptureKind, float]
    depth: Range
    in_own_spreads: bool
    onset_session: WholeRange
    v_sessions: WholeRange
    slide_sessions: WholeRange
    repair_after_sessions: WholeRange
    repair_share: float
    unrepaired_sessions: WholeRange


class EffectSettings(FrozenSettings):
    """What a rupture changes; every range includes no effect."""

    none_share: float
    missing_factor: Range
    absence_factor: Range
    withdrawal_missing_added: Range
    withdrawal_absence_added: Range
    affected_elements: WholeRange
    affected_depth_factor: Range
    common_depth_factor: Range
    withdrawal_fall: Range
    divergence_fall: Range
    divergence_rise: Range
    clinician_awareness: Range
    clinician_fall: Range


class LookalikeSettings(FrozenSettings):
    """Stable relationships that look alarming, as shares of all stable ones."""

    always_low: float
    noisy: float
    bad_day: float
    holiday: float
    low_from_start: float
    low_by_points: Range
    noise_factor: float
    holiday_sessions: WholeRange
    start_level: Range


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
    trend_appointments: float
    noise: Literal["normal", "heavy", "skewed"]
    noise_shape: float
    noise_change_share: float
    noise_change_factor: Range
    answer_step: float
    straight_liner_share: float
    coarse_share: float
    extreme_share: float
    bad_day_rate: float
    bad_day_depth: Range
    missing_rate: float
    missing_concentration: float
    selectivity: float
    absence_rate: float
    absence_concentration: float
    excused_rate: float
    dropout_rate: float
    dropout_factor_early: float
    dropout_factor_in_rupture: Range
    ends_as_planned: bool
    planned_appointments: float
    planned_shape: float
    planned_range: WholeRange
    clinician_level: float
    clinician_level_varies: float
    clinician_correlation: float
    clinician_spread: float
    clinician_session_correlation: float
    clinician_missing_rate: float
    clinician_first_share: float
    clinician_caseload: int
    ruptures: RuptureSettings
    effects: EffectSettings
    lookalikes: LookalikeSettings


class QuestionSettings(FrozenSettings):
    """How the direct question is answered under one law."""

    reported: Range
    reported_falsely: Range
    habitual_share: float
    habitual_rate: float
    yes_share_in_rupture: float
    yes_share_false: float
    open_share: float
    talked_about_in_rupture: tuple[float, float, float]
    talked_about_false: tuple[float, float, float]


class LongSettings(FrozenSettings):
    """Relationships of many appointments."""

    appointments: int
    rupture_rate: float
    max_ruptures: int
    pause_after_rupture: int
    shift_share: float
    shift_points: tuple[float, ...]
    shift_session: WholeRange
    deep_rupture_after_shift: WholeRange
    deep_rupture_depth: Range
    transfer_share: float
    transfer_session: WholeRange
    transfer_level_varies: float
    instrument_share: float
    instrument_offset: Range
    instrument_step: float
    language_share: float
    language_offset: Range
    stale_share: float
    stale_sessions: WholeRange
    stale_rate: float
    summer_weeks: WholeRange
    christmas_weeks: WholeRange


class SimulatedWorld(FrozenSettings):
    """One world: the settings that results are reported for, and those that thresholds and priors are made with."""

    name: str
    title: str
    has_effects: bool
    """Whether a rupture changes anything but the client's own ratings and answers."""
    reported: WorldSettings
    tuned: WorldSettings


class SimulationSettings(FrozenSettings):
    worlds: tuple[SimulatedWorld, ...]
    question: dict[QuestionLaw, QuestionSettings]
    long: LongSettings

    def world(self, name: str) -> SimulatedWorld:
        return next(world for world in self.worlds if world.name == name)


DEFAULT_PATH = Path(__file__).with_name("worlds.toml")
_NO_EFFECTS: dict[str, Range] = {
    "missing_factor": (1, 1),
    "absence_factor": (1, 1),
    "withdrawal_missing_added": (0, 0),
    "withdrawal_absence_added": (0, 0),
    "divergence_rise": (0, 0),
    "clinician_awareness": (0, 0),
}
_KINDS_WITHOUT_EFFECTS = {"withdrawal": 0.0, "divergence": 0.0}  # nothing would show them


def load_settings(path: Path = DEFAULT_PATH) -> SimulationSettings:
    """Read the settings. Raises pydantic's ValidationError if a key is missing, misspelt or has a wrong type."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    worlds = tuple(_parse_world(name, table, document["world"]) for name, table in document["worlds"].items())
    laws = document["question"].pop("laws")
    question = {law: document["question"] | of_law for law, of_law in laws.items()}
    return SimulationSettings(worlds=worlds, question=question, long=document["long"])


def _parse_world(name: str, table: dict[str, Any], defaults: dict[str, Any]) -> SimulatedWorld:
    ruptures, effects = defaults["ruptures"] | table.get("ruptures", {}), defaults["effects"]
    if not table["has_effects"]:
        effects = effects | _NO_EFFECTS
        ruptures = ruptures | {"kinds": ruptures["kinds"] | _KINDS_WITHOUT_EFFECTS}
    reported = defaults | table["change"] | {"ruptures": ruptures, "effects": effects}
    return SimulatedWorld(
        name=name,
        title=table["title"],
        has_effects=table["has_effects"],
        reported=WorldSettings(**reported),
        tuned=WorldSettings(**reported | table["tuning"]),
    )
