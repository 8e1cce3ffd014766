"""Published questionnaires. A clinic with a licence can send their totals.

Alliance and outcome questionnaires are kept apart: how a client fares says little about how client and clinician work
together, and neither may be taken for the other.

This module contains only names, ranges and cut-offs. The item texts are copyrighted.
"""

from dataclasses import dataclass
from typing import Literal

InstrumentKind = Literal["alliance", "outcome"]


@dataclass(frozen=True)
class Instrument:
    """A questionnaire whose total is higher when the alliance is stronger, or the client better off."""

    name: str
    min_total: float
    max_total: float
    cut_off: float | None = None
    """A total below it is usually a reason to talk about it."""
    kind: InstrumentKind = "alliance"

    def score(self, total: float) -> float:
        """The total as a score from 0 to 100."""
        return 100 * (total - self.min_total) / (self.max_total - self.min_total)

    def contains(self, total: float) -> bool:
        """Whether the total lies in the instrument's range."""
        return self.min_total <= total <= self.max_total


INSTRUMENTS = {
    instrument.name: instrument
    for instrument in (
        Instrument("srs", 0, 40, cut_off=36),  # Session Rating Scale: four items of 0 to 10
        Instrument("gsrs", 0, 40, cut_off=36),  # Group Session Rating Scale
        Instrument("wai-sr", 12, 60),  # Working Alliance Inventory, short revised: twelve items of 1 to 5
        Instrument("wai-12", 12, 84),  # Working Alliance Inventory, short: twelve items of 1 to 7
        Instrument("arm-5", 5, 35),  # Agnew Relationship Measure: five items of 1 to 7
        Instrument("ors", 0, 40, cut_off=25, kind="outcome"),  # Outcome Rating Scale: four items of 0 to 10
    )
}


def score(kind: InstrumentKind, name: str, total: float) -> float | None:
    """The total as a score from 0 to 100; None if no instrument of this kind has this name, or allows this total."""
    instrument = INSTRUMENTS.get(name)
    if instrument is None or instrument.kind != kind or not instrument.contains(total):
        return None
    return instrument.score(total)
