"""What happens to relationships of many appointments and is no rupture: level shifts, breaks, transfers, new forms."""

from dataclasses import dataclass, replace

import numpy as np

from evaluation.simulation.settings import LongSettings
from evaluation.simulation.truth import FORM, INSTRUMENT, BoolArray, Course, FloatArray, IntArray

WEEKS_OF_YEAR, SUMMER_WEEK, CHRISTMAS_WEEK = 52, 28, 51


@dataclass(frozen=True, slots=True)
class History:
    shift_session: IntArray
    """The first appointment after a level shift; -1 where there is none."""
    planned_shift_session: IntArray
    """When the level shift is, or would be: the twin without it has the same."""
    shift_points: FloatArray
    transfer_session: IntArray
    level_change: FloatArray
    """Points by which all of this changes the usual total, at each appointment."""
    week: IntArray
    instrument: IntArray
    language: IntArray
    source_gap: BoolArray

    @classmethod
    def ordinary(cls, count: int, appointments: int) -> "History":
        """The history in which nothing of it happens."""
        never, nothing = np.full(count, -1), np.zeros((count, appointments), int)
        week = np.tile(np.arange(appointments), (count, 1))
        return cls(never, never, np.zeros(count), never, 1.0 * nothing, week, nothing + FORM, nothing, nothing > 0)

    @classmethod
    def sample(
        cls, long: LongSettings, count: int, rng: np.random.Generator, has_shift: BoolArray, only_shift: bool
    ) -> "History":
        """Draw histories; the draws are the same whatever `has_shift` is. `only_shift`: nothing else happens."""
        appointments, session = long.appointments, np.arange(long.appointments)
        shift_session = rng.integers(long.shift_session[0] - 1, long.shift_session[1], count)
        shift_points = rng.choice(long.shift_points, count)
        transfer = _sample_moment(long.transfer_share, long.transfer_session, count, rng)
        language = _sample_moment(long.language_share, (2, appointments), count, rng)
        instrument = _sample_moment(long.instrument_share, (appointments // 2 + 1,) * 2, count, rng)
        stale = _sample_moment(long.stale_share, (2, appointments), count, rng)
        stale_until = stale + rng.integers(long.stale_sessions[0], long.stale_sessions[1] + 1, count)
        transfer_points = rng.normal(0, long.transfer_level_varies, count)
        language_points, instrument_points = (
            rng.uniform(*bounds, count) for bounds in (long.language_offset, long.instrument_offset)
        )
        week = _sample_weeks(long, count, rng)
        if only_shift:
            transfer = language = instrument = stale = stale_until = np.full(count, appointments)
        since_shift, since_transfer, since_language, since_instrument = (
            session >= moment[:, None] for moment in (shift_session, transfer, language, instrument)
        )
        change = 1.0 * since_shift * np.where(has_shift, shift_points, 0.0)[:, None]
        change = change + since_transfer * transfer_points[:, None] + since_language * language_points[:, None]
        change = change + since_instrument * instrument_points[:, None]
        return cls(
            np.where(has_shift, shift_session, -1),
            shift_session,
            np.where(has_shift, shift_points, 0.0),
            np.where(transfer < appointments, transfer, -1),
            change,
            week,
            np.where(since_instrument, INSTRUMENT, FORM),
            1 * since_language,
            (session >= stale[:, None]) & (session < stale_until[:, None]),
        )

    def apply(self, course: Course) -> Course:
        """The course with this history."""
        return replace(
            course,
            level=course.level + self.level_change,
            week=self.week,
            shift_session=self.shift_session,
            shift_points=self.shift_points,
            transfer_session=self.transfer_session,
        )


def _sample_moment(share: float, bounds: tuple[int, int], count: int, rng: np.random.Generator) -> IntArray:
    """The appointment from which something is so for a share of relationships; far beyond the last for the others."""
    moment = rng.integers(bounds[0] - 1, bounds[1], count)
    return np.where(rng.random(count) < share, moment, np.iinfo(int).max // 2)


def _sample_weeks(long: LongSettings, count: int, rng: np.random.Generator) -> IntArray:
    """The week of each appointment: weekly, with breaks in summer and at Christmas."""
    first_week_of_year = rng.integers(0, WEEKS_OF_YEAR, count)
    weeks = np.zeros((count, long.appointments), int)
    for t in range(1, long.appointments):
        weeks[:, t] = weeks[:, t - 1] + 1
        for break_week, bounds in ((SUMMER_WEEK, long.summer_weeks), (CHRISTMAS_WEEK, long.christmas_weeks)):
            begins = (first_week_of_year + weeks[:, t]) % WEEKS_OF_YEAR == break_week
            weeks[:, t] += begins * rng.integers(bounds[0], bounds[1] + 1, count)
    return weeks
