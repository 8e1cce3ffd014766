"""Simulated relationships: the ground truth of each, and what a clinic could observe.

The truth is the latent process: what was drawn before anyone answered a form. It is never a threshold on observations.
All ratings are in points of 0 to 100, missing ones NaN. The axes, in this order: the relationship (one client, after
a transfer with another clinician), the rupture if there can be several, the appointment, the element.
"""

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.signedinteger[Any]]
BoolArray: TypeAlias = NDArray[np.bool_]

HELD, ABSENT, EXCUSED, ENDED = 0, 1, 2, 3  # the outcome of an appointment
FORM, INSTRUMENT = 0, 1  # what was answered: the form's elements, or an instrument that gives a total
NOT_ANSWERED, NONE, A_LITTLE, YES = -1, 0, 1, 2  # the answer to the direct question
NOT, PARTLY, FULLY = 0, 1, 2  # whether the tension was talked about; NOT_ANSWERED where the question was left open
ELEMENT_COUNT = 8  # questions in a form
LOOKALIKES = ("ordinary", "always low", "noisy", "one bad day", "a holiday", "low from the start")


@dataclass(frozen=True, slots=True)
class Clients:
    """The traits of each client, and of the clinician with this client."""

    level: FloatArray
    """Usual total at the first appointment, latent: before the ceiling."""
    spread: FloatArray
    trend: FloatArray
    """Points per appointment at the start."""
    noise_change_session: IntArray
    """The appointment from which the spread is another one; beyond the last where it stays the same."""
    noise_change_factor: FloatArray
    element_offsets: FloatArray
    """Of each element from the total."""
    is_straight_liner: BoolArray
    answer_step: FloatArray
    """Points between two answers; 0 if continuous."""
    stretch: FloatArray
    """How much larger than in others the distance of an answer from the middle of the scale is."""
    bad_day_rate: FloatArray
    bad_day_session: IntArray
    """An appointment that surely is a bad day; -1 if there is none."""
    lookalike: IntArray
    """Index in LOOKALIKES."""
    missing_rate: FloatArray
    absence_rate: FloatArray
    candour: FloatArray
    """Position, 0 to 1, in the range of how often tension is reported."""
    false_candour: FloatArray
    """The same of tension that is reported falsely."""
    habit: FloatArray
    """0 to 1: those below the share of habitual clients always answer yes."""
    clinician: IntArray
    """Number of the clinician."""
    clinician_level: FloatArray
    clinician_spread: FloatArray
    clinician_awareness: FloatArray
    """Share of ruptures that this clinician notices."""
    clinician_candour: FloatArray
    clinician_false_candour: FloatArray


@dataclass(frozen=True, slots=True)
class Ruptures:
    """The ruptures of each relationship, also those that it would have had: these begin after the last appointment."""

    onset: IntArray
    """The first appointment of the rupture, counted from 0; the number of appointments where there is none."""
    end: IntArray
    """The first appointment after it."""
    kind: IntArray
    """Index in KINDS."""
    depth: FloatArray
    """In spreads, of the relationship or of its world."""
    is_repaired: BoolArray
    """Whether the two repaired it; a V always is, as long as the relationship did not end."""
    shape: IntArray
    """How it develops: as a V, a step or a slide (`courses.V` and so on)."""
    fall_sessions: IntArray
    """Appointments in which a V recovers or a slide falls."""
    full_sessions: IntArray
    """Appointments that a step or slide has its full depth."""
    element_drop: FloatArray
    """By how many points each element falls at full severity; 0 where ratings do not fall."""
    is_seen: BoolArray
    """Whether the clinician notices it."""
    clinician_drop: FloatArray
    """By how many spreads the clinician's rating falls at full severity; below 0 it rises."""
    missing_factor: FloatArray
    missing_added: FloatArray
    absence_factor: FloatArray
    absence_added: FloatArray
    dropout_factor: FloatArray


@dataclass(frozen=True, slots=True)
class Course:
    """The latent course over the appointments."""

    severity: FloatArray
    """The share of its depth that the present rupture has, 0 to 1."""
    number: IntArray
    """Which rupture is present; -1 where none is."""
    level: FloatArray
    """The usual total, latent: with trend, level shift, transfer, language and instrument; without any rupture."""
    spread: FloatArray
    """The latent spread."""
    appointment_count: IntArray
    """How many appointments there were before the relationship ended."""
    week: IntArray
    """The week of each appointment, counted from the first; breaks leave gaps."""
    shift_session: IntArray
    """The first appointment after a lasting level shift that is no rupture; -1 where there is none."""
    shift_points: FloatArray
    transfer_session: IntArray
    """The first appointment with another clinician; -1 where there is none."""
    expected_total: FloatArray
    """The mean of the total, as answered, without any rupture; only an oracle knows it."""
    total_spread: FloatArray
    """The spread of the total, as answered, around `expected_total`; only an oracle knows it."""


@dataclass(frozen=True, slots=True)
class Observations:
    elements: FloatArray
    """NaN where the form is missing or an instrument was used."""
    total: FloatArray
    clinician_total: FloatArray
    tension: IntArray
    """NOT_ANSWERED where the form is missing or the question was not asked."""
    talked_about: IntArray
    clinician_tension: IntArray
    clinician_talked_about: IntArray
    clinician_first: BoolArray
    """Whether the clinician's form arrives before the client's."""
    appointment: IntArray
    """HELD, ABSENT, EXCUSED, or ENDED after the end of the relationship."""
    instrument: IntArray
    """FORM or INSTRUMENT."""
    answer_step: FloatArray
    """Points between two answers; 0 if continuous."""
    language: IntArray
    """0 for the first language of the client's forms, 1 for the second."""
    source_gap: BoolArray
    """Where the scheduling source was stale: absence and silence mean nothing."""

    @property
    def answered(self) -> BoolArray:
        """Where the client submitted the form."""
        return ~np.isnan(self.total)


@dataclass(frozen=True, slots=True)
class GroundTruth:
    clients: Clients
    ruptures: Ruptures
    course: Course

    @property
    def in_rupture(self) -> BoolArray:
        """The appointments that are in a rupture."""
        return self.course.number >= 0

    @property
    def onset_session(self) -> IntArray:
        """The onset of the first rupture."""
        return self.ruptures.onset[:, 0]

    @property
    def kind(self) -> IntArray:
        """The kind of the first rupture; -1 where there is none."""
        return np.where(self.onset_session < self.course.severity.shape[1], self.ruptures.kind[:, 0], -1)

    @property
    def depth(self) -> FloatArray:
        """The depth of the first rupture."""
        return self.ruptures.depth[:, 0]

    @property
    def appointment_count(self) -> IntArray:
        return self.course.appointment_count


@dataclass(frozen=True, slots=True)
class Relationships:
    observations: Observations
    truth: GroundTruth

    def __len__(self) -> int:
        return len(self.truth.clients.level)

    def select(self, index: BoolArray | IntArray | slice) -> "Relationships":
        """The relationships at `index`."""
        return combine_parts([self], lambda arrays: arrays[0][index])


def concatenate(first: Relationships, second: Relationships) -> Relationships:
    """The relationships of both, `first` first; both have the same number of appointments and of ruptures."""
    return combine_parts([first, second], np.concatenate)


T = TypeVar("T")


def combine_parts(parts: list[T], combine: Any) -> T:
    """An object of which each array is combined from the same arrays of the parts."""
    if not is_dataclass(parts[0]):
        combined: T = combine(parts)
        return combined
    values = {
        field.name: combine_parts([getattr(part, field.name) for part in parts], combine) for field in fields(parts[0])
    }
    kind: Any = type(parts[0])
    whole: T = kind(**values)
    return whole
