"""Simulated relationships: what really went on in each, and what could be seen of it.

All ratings are in points of 0 to 100, missing ones are NaN; the first axis is the relationship, the second the
appointment.
"""

from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.signedinteger[Any]]
BoolArray: TypeAlias = NDArray[np.bool_]

HELD, ABSENT, EXCUSED, ENDED = 0, 1, 2, 3  # what became of an appointment
LOOKALIKES = ("ordinary", "always low", "noisy", "one bad day", "a holiday")


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """What really went on."""

    onset_session: IntArray
    """The first appointment of the rupture, from 0; beyond the last where there is none."""
    end_session: IntArray
    """The first appointment after it."""
    kind: IntArray
    """Place in KINDS; -1 where there is no rupture."""
    depth: FloatArray
    """In spreads of the relationship, or of its world."""
    severity_path: FloatArray
    """How much of the depth is there at each appointment, 0 to 1."""
    affected_elements: BoolArray
    """Which elements."""
    appointment_count: IntArray
    """How many appointments there were before they stopped."""
    lookalike: IntArray
    """Place in LOOKALIKES."""
    expected_total: FloatArray
    """What the total would have been on average without any rupture: known to the oracle only."""
    total_spread: FloatArray
    """Of the total as observed without any rupture, around `expected`: known to the oracle only."""

    @property
    def in_rupture(self) -> BoolArray:
        """Which appointments lie in a rupture."""
        sessions = np.arange(self.severity_path.shape[1])
        return np.asarray((sessions >= self.onset_session[:, None]) & (sessions < self.end_session[:, None]))


@dataclass(frozen=True, slots=True)
class Observations:
    """What could be seen."""

    elements: FloatArray
    total: FloatArray
    clinician_total: FloatArray
    tension_reported: FloatArray
    """1 where the client said that there was a tension, 0 that there was none."""
    tension_reported_by_clinician: FloatArray
    clinician_first: BoolArray
    """Whose form came first."""
    appointment: IntArray
    """HELD, AWAY, EXCUSED, or OVER after the end of the relationship."""

    @property
    def answered(self) -> BoolArray:
        """Where the client gave the form back."""
        return ~np.isnan(self.total)


@dataclass(frozen=True, slots=True)
class Relationships:
    observations: Observations
    truth: GroundTruth

    def __len__(self) -> int:
        return len(self.truth.onset_session)

    def select(self, index: BoolArray | IntArray) -> "Relationships":
        """Some of them."""
        return Relationships(
            Observations(
                **{field.name: getattr(self.observations, field.name)[index] for field in fields(Observations)}
            ),
            GroundTruth(**{field.name: getattr(self.truth, field.name)[index] for field in fields(GroundTruth)}),
        )


def concatenate(first: Relationships, second: Relationships) -> Relationships:
    """Both, one after the other."""
    return Relationships(
        Observations(
            **{
                field.name: np.concatenate([getattr(part.observations, field.name) for part in (first, second)])
                for field in fields(Observations)
            }
        ),
        GroundTruth(
            **{
                field.name: np.concatenate([getattr(part.truth, field.name) for part in (first, second)])
                for field in fields(GroundTruth)
            }
        ),
    )
