"""Two years of weekly appointments: false messages over time, level shifts, and how episodes end."""

from dataclasses import dataclass

import numpy as np

from evaluation.attune import (
    CONCERN,
    LEVEL_SHIFT,
    NOT_OPEN,
    REPAIRED,
    SUPERSEDED,
    Folded,
    fold_all,
    is_at_floor,
    state_sizes,
)
from evaluation.measures import Estimate, Resamples, happens_in_window, ratio
from evaluation.settings import RunSettings
from evaluation.simulation.generator import LongSample, generate_long, generate_stable
from evaluation.simulation.settings import LongSettings, SimulatedWorld
from evaluation.simulation.truth import ENDED, BoolArray, FloatArray, IntArray, Relationships
from evaluation.trial import DETECTION_LIMIT_SESSIONS

EARLY_APPOINTMENTS = 16  # false messages of later ones are compared with those of the second to this one
STUCK_AFTER_WEEKS = 12
OPENS_WITHIN_APPOINTMENTS = 4  # of a level shift, to count as about it
SIZED_RELATIONSHIPS = 10  # in each world: the size of a state is measured after every event
ENDINGS = {REPAIRED: "repaired", LEVEL_SHIFT: "level shift", SUPERSEDED: "superseded"}


@dataclass(frozen=True, slots=True)
class Run:
    """One long sample, and what Attune said with its default policy."""

    relationships: Relationships
    folded: Folded
    resamples: Resamples

    @classmethod
    def of(cls, relationships: Relationships, run: RunSettings) -> "Run":
        resamples = Resamples.draw(len(relationships), run.resamples, run.seed)
        return cls(relationships, fold_all(relationships), resamples)

    @property
    def is_appointment(self) -> BoolArray:
        return np.asarray(self.relationships.observations.appointment != ENDED)


@dataclass(frozen=True, slots=True)
class LongRun:
    """All long samples of a world. `rupture` has the relationships of `shift_and_rupture` without the shift."""

    world: SimulatedWorld
    stable: Run
    mixed: Run
    shift: Run
    shift_and_rupture: Run
    rupture: Run
    state_bytes: list[int]


def run_long(world: SimulatedWorld, long: LongSettings, run: RunSettings) -> LongRun:
    def sample(name: LongSample) -> Run:
        return Run.of(generate_long(world.reported, long, run.long_other, run.seed, name), run)

    stable = Run.of(generate_stable(world.reported, run.long_stable, run.seed, long.appointments), run)
    mixed = sample("mixed")
    return LongRun(
        world,
        stable,
        mixed,
        sample("shift"),
        sample("shift_and_rupture"),
        sample("rupture"),
        state_sizes(mixed.relationships.select(slice(0, SIZED_RELATIONSHIPS))),
    )


def false_message_rates(stable: Run) -> tuple[Estimate, Estimate]:
    """False messages per appointment of a stable relationship: of sessions 2 to 16, and of the later ones."""
    session = np.arange(stable.is_appointment.shape[1])
    is_early, is_late = (session > 0) & (session < EARLY_APPOINTMENTS), session >= EARLY_APPOINTMENTS
    alarms = stable.folded.is_alarmed
    early, late = (
        ratio(
            stable.resamples.sum((alarms & is_in).sum(axis=1)),
            stable.resamples.sum((stable.is_appointment & is_in).sum(axis=1)),
        )
        for is_in in (is_early, is_late)
    )
    return early, late


def twelve_weeks_after(relationships: Relationships, session: IntArray) -> IntArray:
    """The last appointment within twelve weeks after the one at `session`."""
    week = relationships.truth.course.week
    start = np.take_along_axis(week, session[:, None], axis=1)
    return np.asarray((week <= start + STUCK_AFTER_WEEKS).sum(axis=1) - 1)


def is_stuck(run: Run) -> BoolArray:
    """Whether an episode that began with the level shift is still open twelve weeks after it began.

    Not where the client has been at the floor since the shift: there an episode stays open on purpose.
    """
    week, shift = run.relationships.truth.course.week, run.relationships.truth.course.shift_session
    rows, session = np.arange(len(shift)), np.arange(week.shape[1])
    still_open, is_after_shift = np.zeros(len(shift), bool), session >= shift[:, None]
    for after in range(OPENS_WITHIN_APPOINTMENTS + 1):
        opened = shift + after
        later = (week < week[rows, opened, None] + STUCK_AFTER_WEEKS).sum(axis=1)
        still_open |= run.folded.open_since[rows, later] == opened
    return np.asarray(still_open & ~(is_at_floor(run.relationships) & is_after_shift).any(axis=1))


def is_of_concern_later(run: Run, shift: IntArray) -> BoolArray:
    """Whether any episode of concern is open twelve weeks after the level shift, or after when it would have been."""
    later = twelve_weeks_after(run.relationships, shift)[:, None]
    return np.asarray(np.take_along_axis(run.folded.severity, later, axis=1)[:, 0] >= CONCERN)


def is_messaged(run: Run) -> BoolArray:
    """Whether a message is sent within two sessions after the onset of the deep rupture."""
    return happens_in_window(run.folded.is_alarmed, run.relationships, DETECTION_LIMIT_SESSIONS)


@dataclass(frozen=True, slots=True)
class EpisodeCounts:
    """The episodes of concern in long histories in which everything happens."""

    weeks_open: FloatArray
    """Of each episode that ended."""
    still_open: int
    endings: dict[str, int]
    repaired_early: int
    """Of those that ended as repaired: while the rupture went on."""


def count_episodes(run: Run) -> EpisodeCounts:
    folded, week = run.folded, run.relationships.truth.course.week
    in_rupture = run.relationships.truth.in_rupture
    weeks: list[float] = []
    endings, early, still_open = dict.fromkeys([*ENDINGS.values(), "other"], 0), 0, 0
    for row in range(len(week)):
        for opened, last in _episodes_of_concern(folded, row, run.is_appointment[row]):
            end = last + 1
            if end >= week.shape[1] or not run.is_appointment[row, end]:
                still_open += 1
                continue
            weeks.append(float(week[row, end] - week[row, opened]))
            ending = ENDINGS.get(int(folded.ended[row, end]), "other")
            endings[ending] += 1
            # an early repair: the rupture was there when it ended, and still is at the next appointment
            early += ending == "repaired" and bool(in_rupture[row, end : end + 2].all())
    return EpisodeCounts(np.array(weeks), still_open, endings, early)


def _episodes_of_concern(folded: Folded, row: int, is_appointment: BoolArray) -> list[tuple[int, int]]:
    """The first appointment of each episode that reaches concern, and the last one after which it is open."""
    episodes: dict[int, int] = {}
    of_concern: set[int] = set()
    for t in np.flatnonzero(is_appointment & (folded.open_since[row] != NOT_OPEN)):
        opened = int(folded.open_since[row, t])
        episodes[opened] = int(t)
        if folded.severity[row, t] >= CONCERN:
            of_concern.add(opened)
    return [(opened, last) for opened, last in episodes.items() if opened in of_concern]
