"""What a simulated clinic is like, read from `worlds.toml`; a key that is missing or misspelt is refused."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["v", "step", "slide", "elements", "withdrawal", "divergence"]
KINDS: tuple[Kind, ...] = ("v", "step", "slide", "elements", "withdrawal", "divergence")
WHOLE_KINDS = tuple(KINDS.index(kind) for kind in ("v", "step", "slide"))
"""Places of those that the total of the ratings shows undiluted."""
Range = tuple[float, float]


class Settings(BaseModel):
    """Read once, changed never."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Ruptures(Settings):
    kinds: dict[Kind, float]
    depth: Range
    in_own_spreads: bool
    onset: tuple[int, int]
    v_sessions: tuple[int, int]
    slide_sessions: tuple[int, int]
    hit: tuple[int, int]
    lasts: tuple[int, int]
    repaired: float
    diverging: float


class Lookalikes(Settings):
    """Stable relationships that look alarming."""

    always_low: float
    noisy: float
    bad_day: float
    holiday: float
    low_by: Range
    noisier: float
    holiday_sessions: tuple[int, int]


class World(Settings):
    level: float
    level_varies: float
    spread: float
    spread_varies: float
    loading: float
    element_varies: float
    autocorrelation: float
    trend: float
    trend_varies: float
    tails: int
    ceiling: bool
    rounding: bool
    straight_liners: float
    bad_days: float
    bad_day_depth: Range
    missing: float
    missing_alike: float
    missing_in_rupture: float
    missing_in_withdrawal: float
    away: float
    away_alike: float
    away_in_rupture: float
    away_in_withdrawal: float
    excused: float
    dropout: float
    dropout_early: float
    dropout_in_rupture: float
    clinician_level: float
    clinician_level_varies: float
    clinician_correlation: float
    clinician_spread: float
    clinician_session_correlation: float
    clinician_missing: float
    clinician_sees: float
    clinician_share: Range
    clinician_first: float
    told: float
    told_by_clinician: float
    told_falsely: float
    ruptures: Ruptures
    lookalikes: Lookalikes


class Run(Settings):
    sessions: int
    relationships: int
    relationships_short: int
    bootstraps: int
    seed: int
    budget: float
    onset_budget: float
    base_rate: float
    caseload: int


class Place(Settings):
    """One world as it is reported on, and as it was when thresholds and priors were made."""

    name: str
    title: str
    counts: bool
    """Whether it counts for the bars; the others are shown only."""
    reported: World
    tuned: World


class Evaluation(Settings):
    run: Run
    places: tuple[Place, ...]
    missed: dict[str, str]
    """Bars that are not reached, each with its reason."""


SHIPPED = Path(__file__).with_name("worlds.toml")


def load(path: Path = SHIPPED) -> Evaluation:
    """All worlds; a world that is told wrongly is an error."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    worlds = tuple(_place(name, world_table, document["world"]) for name, world_table in document["worlds"].items())
    return Evaluation(run=Run(**document["run"]), places=worlds, missed=document.get("missed", {}))


def _place(name: str, told: dict[str, Any], defaults: dict[str, Any]) -> Place:
    ruptures = defaults["ruptures"] | told.get("ruptures", {})
    reported = defaults | told["change"] | {"ruptures": ruptures}
    return Place(
        name=name,
        title=told["title"],
        counts=told["counts"],
        reported=World(**reported),
        tuned=World(**reported | told["tuning"]),
    )
