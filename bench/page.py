"""docs/performance.md, from what was measured."""

from statistics import median

from bench.others import OURS
from bench.parts import PICTURES, Figures

RESULTS = PICTURES / "measured.json"


def against(found: Figures, other: str) -> float:
    """How many times as fast we are, the median over the rounds."""
    laps = found["laps"]
    return median(our["rate"] / their["rate"] for our, their in zip(laps[OURS], laps[other], strict=True))


def write() -> None: ...
