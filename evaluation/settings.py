"""How much is simulated. The same settings give the same report."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from evaluation.simulation.settings import QuestionLaw

ASKED_LAWS: tuple[QuestionLaw, ...] = ("candid", "reticent", "habitual")
UNASKED = "without the question"
ASKINGS = (UNASKED, *ASKED_LAWS)
"""Without the direct question, and with it under each law of answering."""
SHORT_WORLDS = ("ordinal", "heavy", "mute", "styles")
DECLARED_MISSES = Path(__file__).with_name("declared_misses.toml")


@dataclass(frozen=True, slots=True)
class RunSettings:
    worlds: tuple[str, ...] | None
    """Their names; all if None."""
    relationships: int
    """In each of the three samples of a world: stable ones for thresholds, stable ones, and ruptured ones."""
    oracle_relationships: int
    """Those of the samples that the oracle of the client sees: it is slow."""
    relationships_at_other_base_rate: int
    """Those of the samples that are folded again for another base rate."""
    long_stable: int
    """Stable relationships of 100 appointments, in each world."""
    long_other: int
    """Relationships of each other long sample, in each world."""
    adaptation_repeats: int
    """Over all worlds."""
    adaptation_history: int = 200
    adaptation_fresh: int = 1000
    published_clients: int = 4000
    resamples: int = 400
    seed: int = 20261128
    false_alarm_budget: float = 0.20
    """The share of stable relationships with any false alarm, in all appointments."""
    caseload: int = 25
    """Relationships of one clinician, with one session a week each."""


FULL = RunSettings(
    worlds=None,
    relationships=1500,
    oracle_relationships=400,
    relationships_at_other_base_rate=500,
    long_stable=150,
    long_other=120,
    adaptation_repeats=39,
)
SHORT = RunSettings(
    worlds=SHORT_WORLDS,
    relationships=250,
    oracle_relationships=120,
    relationships_at_other_base_rate=100,
    long_stable=40,
    long_other=40,
    adaptation_repeats=2,
    adaptation_fresh=200,
    published_clients=1000,
    resamples=200,
)


def load_declared_misses(path: Path = DECLARED_MISSES) -> dict[str, str]:
    """The reason for each bar that is known to be missed, by its key."""
    return dict(tomllib.loads(path.read_text(encoding="utf-8")))
