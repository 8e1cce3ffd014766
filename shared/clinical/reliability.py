"""How often alerts like one were right in simulations, in natural frequencies: a single probability is misread."""

from collections.abc import Iterable

from shared.clinical.signs import reporter
from shared.events import Evidence

_FREQUENCIES = ((9, 10), (3, 4), (2, 3), (1, 2), (1, 3), (1, 4), (1, 5), (1, 10), (1, 20), (1, 50), (1, 100))
"""The simple ones: more exact figures would claim more than is known."""


def describe_reliability(
    evidence: Iterable[Evidence], probability: float | None, base_rate: float | None
) -> str | None:
    """One sentence and what it is not; None if it is not known, or if the client's own words need no ratio."""
    if probability is None or base_rate is None or any(_is_said_by_client(sign) for sign in evidence):
        return None
    right, alerts = min(_FREQUENCIES, key=lambda frequency: abs(frequency[0] / frequency[1] - probability))
    ruptured = round(100 * base_rate)
    return (
        f"In simulations where {ruptured} of 100 relationships {_was(ruptured)} in rupture, "
        f"about {right} in {alerts} alerts like this {_was(right)} right. Not measured on people."
    )


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _is_said_by_client(sign: Evidence) -> bool:
    if sign.detector == "told_directly":
        return reporter(sign) == "client"
    return sign.detector in ("at_floor", "low_again")
