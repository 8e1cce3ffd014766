"""Simulated relationships: what really went on in each, and what could be seen of it.

All ratings are in points of 0 to 100, missing ones are NaN; the first axis is the relationship, the second the
appointment.
"""

from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.floating[Any]]
Counts: TypeAlias = NDArray[np.signedinteger[Any]]
Flags: TypeAlias = NDArray[np.bool_]

HELD, AWAY, EXCUSED, OVER = 0, 1, 2, 3  # what became of an appointment
LOOKALIKES = ("ordinary", "always low", "noisy", "one bad day", "a holiday")


@dataclass(frozen=True, slots=True)
class Truth:
    """What really went on."""

    onset: Counts
    """The first appointment of the rupture, from 0; beyond the last where there is none."""
    end: Counts
    """The first appointment after it."""
    kind: Counts
    """Place in KINDS; -1 where there is no rupture."""
    depth: Numbers
    """In spreads of the relationship, or of its world."""
    path: Numbers
    """How much of the depth is there at each appointment, 0 to 1."""
    hit: Flags
    """Which elements."""
    last: Counts
    """How many appointments there were before they stopped."""
    lookalike: Counts
    """Place in LOOKALIKES."""
    expected: Numbers
    """What the total would have been on average without any rupture: known to the oracle only."""
    spread: Numbers
    """Of the total as observed without any rupture, around `expected`: known to the oracle only."""

    @property
    def inside(self) -> Flags:
        """Which appointments lie in a rupture."""
        sessions = np.arange(self.path.shape[1])
        return np.asarray((sessions >= self.onset[:, None]) & (sessions < self.end[:, None]))


@dataclass(frozen=True, slots=True)
class Seen:
    """What could be seen."""

    elements: Numbers
    total: Numbers
    clinician: Numbers
    told: Numbers
    """1 where the client said that there was a tension, 0 that there was none."""
    told_by_clinician: Numbers
    clinician_first: Flags
    """Whose form came first."""
    appointment: Counts
    """HELD, AWAY, EXCUSED, or OVER after the end of the relationship."""

    @property
    def answered(self) -> Flags:
        """Where the client gave the form back."""
        return ~np.isnan(self.total)


@dataclass(frozen=True, slots=True)
class Relationships:
    seen: Seen
    truth: Truth

    def __len__(self) -> int:
        return len(self.truth.onset)

    def only(self, index: Flags | Counts) -> "Relationships":
        """Some of them."""
        return Relationships(
            Seen(**{field.name: getattr(self.seen, field.name)[index] for field in fields(Seen)}),
            Truth(**{field.name: getattr(self.truth, field.name)[index] for field in fields(Truth)}),
        )


def together(first: Relationships, other: Relationships) -> Relationships:
    """Both, one after the other."""
    return Relationships(
        Seen(
            **{
                field.name: np.concatenate([getattr(part.seen, field.name) for part in (first, other)])
                for field in fields(Seen)
            }
        ),
        Truth(
            **{
                field.name: np.concatenate([getattr(part.truth, field.name) for part in (first, other)])
                for field in fields(Truth)
            }
        ),
    )
