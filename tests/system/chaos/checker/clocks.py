"""How much the clocks of the services and ours may differ."""

from collections.abc import Iterable
from datetime import timedelta

from tests.system.chaos.evidence import Fault

CLOCK_TOLERANCE = timedelta(seconds=5)
"""How much two readings of the clock of one machine, ours and Attune's, may differ."""
ONE_HOUR = timedelta(hours=1)


def max_clock_skew(faults: Iterable[Fault]) -> timedelta:
    """How much the clock of a service may have differed from ours."""
    return ONE_HOUR + CLOCK_TOLERANCE if any("clock" in fault.kind for fault in faults) else CLOCK_TOLERANCE
