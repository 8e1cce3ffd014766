"""What is measured over two years."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.attune import CONCERN, LEVEL_SHIFT, REPAIRED, Folded
from evaluation.long_run import (
    Run,
    count_episodes,
    false_message_rates,
    is_messaged,
    is_of_concern_later,
    is_stuck,
    twelve_weeks_after,
)
from evaluation.measures import Resamples
from evaluation.simulation.generator import generate_long, generate_stable
from evaluation.simulation.settings import load_settings
from evaluation.simulation.truth import ENDED, Relationships
from tests.support.folded import folded

SETTINGS = load_settings()
WORLD, COUNT, LENGTH = SETTINGS.world("ordinal").reported, 30, SETTINGS.long.appointments
SHIFTED = generate_long(WORLD, SETTINGS.long, COUNT, 3, "shift")
SHIFT = SHIFTED.truth.course.shift_session
MIXED = generate_long(WORLD, SETTINGS.long, COUNT, 3, "mixed")
NOTHING = np.zeros((COUNT, LENGTH), int)


def run(relationships: Relationships, said: Folded) -> Run:
    return Run(relationships, said, Resamples.draw(len(relationships), 20, 1))


def open_between(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    session = np.arange(LENGTH)
    is_open = (session >= first[:, None]) & (session <= last[:, None])
    return np.where(is_open, first[:, None], -1)


def test_false_messages_are_compared_per_appointment() -> None:
    stable = generate_stable(WORLD, COUNT, 4, LENGTH)
    reached = NOTHING.copy()
    reached[:, 0] = CONCERN  # the first session counts in neither rate
    reached[:10, 5] = CONCERN
    reached[:, [20, 40]] = CONCERN
    early, late = false_message_rates(run(stable, folded(reached=reached)))
    is_late = (stable.observations.appointment != ENDED)[:, 16:]

    assert early[0] == pytest.approx(10 / (COUNT * 15))
    assert late[0] == pytest.approx(2 * COUNT / is_late.sum())


def test_twelve_weeks_are_weeks_and_not_appointments() -> None:
    week, later = SHIFTED.truth.course.week, twelve_weeks_after(SHIFTED, SHIFT)
    rows = np.arange(COUNT)

    assert (week[rows, later] - week[rows, SHIFT] <= 12).all()
    assert (week[rows, later + 1] - week[rows, SHIFT] > 12).all()
    assert (later - SHIFT < 12).any()  # a break


ABOVE_FLOOR = replace(
    SHIFTED,
    observations=replace(
        SHIFTED.observations,
        total=np.maximum(SHIFTED.observations.total, 41),
        elements=np.maximum(SHIFTED.observations.elements, 30),
    ),
)


@pytest.mark.parametrize(("after", "lasts", "expected"), [(0, 40, True), (4, 40, True), (5, 40, False), (0, 3, False)])
def test_an_episode_is_stuck_if_it_began_with_the_shift_and_lasts(after: int, lasts: int, expected: bool) -> None:
    said = folded(open_since=open_between(SHIFT + after, SHIFT + after + lasts))

    assert (is_stuck(run(ABOVE_FLOOR, said)) == expected).all()


def test_an_episode_has_twelve_weeks_from_when_it_began() -> None:
    week, opened = SHIFTED.truth.course.week, SHIFT + 4
    until = (week < week[np.arange(COUNT), opened, None] + 12).sum(axis=1)

    assert is_stuck(run(ABOVE_FLOOR, folded(open_since=open_between(opened, until)))).all()
    assert not is_stuck(run(ABOVE_FLOOR, folded(open_since=open_between(opened, until - 1)))).any()


def test_an_episode_that_stays_open_at_the_floor_is_not_stuck() -> None:
    total = ABOVE_FLOOR.observations.total.copy()
    total[0, SHIFT[0] + 2], total[1, SHIFT[1] - 1] = 40, 40
    at_floor = replace(ABOVE_FLOOR, observations=replace(ABOVE_FLOOR.observations, total=total))

    stuck = is_stuck(run(at_floor, folded(open_since=open_between(SHIFT, SHIFT + 40))))

    assert stuck.tolist() == [False, *[True] * (COUNT - 1)]


def test_an_episode_from_before_the_shift_is_not_about_it() -> None:
    before = run(SHIFTED, folded(open_since=open_between(SHIFT - 1, SHIFT + 40), severity=NOTHING + CONCERN))

    assert not is_stuck(before).any()
    assert is_of_concern_later(before, SHIFT).all()


def test_a_deep_rupture_is_messaged_within_two_sessions() -> None:
    deep = generate_long(WORLD, SETTINGS.long, COUNT, 3, "shift_and_rupture")
    session, onset = np.arange(LENGTH), deep.truth.onset_session[:, None]

    assert is_messaged(run(deep, folded(reached=CONCERN * (session == onset + 2)))).all()
    assert not is_messaged(run(deep, folded(reached=CONCERN * (session == onset + 3)))).any()


def test_episodes_are_counted_with_how_they_ended_and_whether_too_early() -> None:
    in_rupture = MIXED.truth.in_rupture.copy()
    row = int(np.flatnonzero((in_rupture[:, :-1] & in_rupture[:, 1:]).any(axis=1))[0])
    ended_at = int((in_rupture[row, 1:-1] & in_rupture[row, 2:]).argmax()) + 1
    open_since, ended, severity = NOTHING - 1, NOTHING.copy(), NOTHING + CONCERN
    open_since[row, :ended_at] = 0
    ended[row, ended_at] = REPAIRED
    other = row + 1
    open_since[other, 10:15], ended[other, 15] = 10, LEVEL_SHIFT
    open_since[other, 30:35], severity[other, 30:35] = 30, 1  # only worth watching
    open_since[other, 90:] = 90
    counts = count_episodes(run(MIXED, folded(open_since=open_since, ended=ended, severity=severity)))
    week = MIXED.truth.course.week

    assert counts.endings == {"repaired": 1, "level shift": 1, "superseded": 0, "other": 0}
    assert (counts.repaired_early, counts.still_open) == (1, 1)
    assert sorted(counts.weeks_open) == sorted([week[row, ended_at] - week[row, 0], week[other, 15] - week[other, 10]])
    over = MIXED.observations.appointment.copy()
    over[other, 15:] = ENDED
    gone = replace(MIXED, observations=replace(MIXED.observations, appointment=over))
    assert count_episodes(run(gone, folded(open_since=open_since, ended=ended, severity=severity))).still_open == 1
    calm = replace(MIXED, truth=replace(MIXED.truth, course=replace(MIXED.truth.course, number=NOTHING - 1)))
    assert count_episodes(run(calm, folded(open_since=open_since, ended=ended, severity=severity))).repaired_early == 0
