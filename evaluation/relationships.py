"""Simulated relationships: the ground truth of each, and what a clinic could observe.

All ratings are in points of 0 to 100; missing ones are NaN. The first axis is the relationship, the second the
appointment.
"""

from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.signedinteger[Any]]
BoolArray: TypeAlias = NDArray[np.bool_]

HELD, ABSENT, EXCUSED, ENDED = 0, 1, 2, 3  # the outcome of an appointment
ELEMENT_COUNT = 8  # questions in a form
LOOKALIKES = ("ordinary", "always low", "noisy", "one bad day", "a holiday")


@dataclass(frozen=True, slots=True)
class GroundTruth:
    onset_session: IntArray
    """The first appointment of the rupture, counted from 0; the number of appointments where there is no rupture."""
    end_session: IntArray
    """The first appointment after it."""
    kind: IntArray
    """Index in KINDS; -1 where there is no rupture."""
    depth: FloatArray
    """In spreads, of the relationship or of its world."""
    severity_path: FloatArray
    """The share of the depth at each appointment, 0 to 1."""
    affected_elements: BoolArray
    """The elements that the rupture lowers."""
    appointment_count: IntArray
    """How many appointments there were before the relationship ended."""
    lookalike: IntArray
    """Index in LOOKALIKES."""
    expected_total: FloatArray
    """The mean of the total at each appointment without any rupture; only the oracle knows it."""
    total_spread: FloatArray
    """The spread of the total around `expected_total` without any rupture; only the oracle knows it."""

    @property
    def in_rupture(self) -> BoolArray:
        """The appointments that are in a rupture."""
        sessions = np.arange(self.severity_path.shape[1])
        return np.asarray((sessions >= self.onset_session[:, None]) & (sessions < self.end_session[:, None]))


@dataclass(frozen=True, slots=True)
class Observations:
    elements: FloatArray
    total: FloatArray
    clinician_total: FloatArray
    tension_reported: FloatArray
    """1 where the client reported tension, 0 where the client reported none."""
    tension_reported_by_clinician: FloatArray
    clinician_first: BoolArray
    """Whether the clinician's form arrived before the client's."""
    appointment: IntArray
    """HELD, ABSENT, EXCUSED, or ENDED after the end of the relationship."""

    @property
    def answered(self) -> BoolArray:
        """Where the client submitted the form."""
        return ~np.isnan(self.total)


@dataclass(frozen=True, slots=True)
class Relationships:
    observations: Observations
    truth: GroundTruth

    def __len__(self) -> int:
        return len(self.truth.onset_session)

    def select(self, index: BoolArray | IntArray) -> "Relationships":
        """The relationships at `index`."""
        return Relationships(
            Observations(
                **{field.name: getattr(self.observations, field.name)[index] for field in fields(Observations)}
            ),
            GroundTruth(**{field.name: getattr(self.truth, field.name)[index] for field in fields(GroundTruth)}),
        )


def concatenate(first: Relationships, second: Relationships) -> Relationships:
    """The relationships of both, `first` first."""
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
