"""What happens in simulated relationships of a hundred appointments."""

from dataclasses import fields

import numpy as np

from evaluation.simulation.generator import LongSample, generate_long
from evaluation.simulation.settings import TOTAL_VISIBLE_KINDS, load_settings
from evaluation.simulation.truth import ABSENT, HELD, INSTRUMENT, Observations, Relationships, Ruptures

SETTINGS = load_settings()
WORLD, LONG = SETTINGS.world("ordinal").reported, SETTINGS.long


def generate(sample: LongSample, count: int = 600) -> Relationships:
    return generate_long(WORLD, LONG, count, 8, sample)


MIXED = generate("mixed")
SESSION = np.arange(LONG.appointments)


def test_there_are_several_ruptures_one_after_the_other() -> None:
    ruptures = MIXED.truth.ruptures
    exists = ruptures.onset < LONG.appointments
    gaps = ruptures.onset[:, 1:] - ruptures.end[:, :-1]

    assert exists.sum(axis=1).max() >= 3
    assert 1 < exists.sum(axis=1).mean() < 3
    assert gaps[exists[:, 1:]].min() >= LONG.pause_after_rupture


def test_ratings_follow_each_of_several_ruptures() -> None:
    deviation = MIXED.observations.total - MIXED.truth.course.expected_total
    is_deep = MIXED.truth.course.severity > 0.9
    for number in (0, 1):
        assert np.nanmean(deviation[is_deep & (MIXED.truth.course.number == number)]) < -4


def test_a_level_shift_lasts_and_is_no_rupture() -> None:
    relationships = generate("shift")
    course, total = relationships.truth.course, relationships.observations.total
    after = course.shift_session[:, None] <= SESSION

    assert not relationships.truth.in_rupture.any()
    assert set(course.shift_points.tolist()) == set(LONG.shift_points)
    for points in LONG.shift_points:
        rows = (course.shift_points == points)[:, None]
        moved = np.nanmean(total[rows & after]) - np.nanmean(total[rows & ~after & (SESSION > 10)])
        assert moved * np.sign(points) > 1.5  # the ceiling hides most of a shift upwards
        if points < 0:
            assert abs(moved - points) < 5


def test_a_deep_rupture_follows_a_level_shift_and_its_twin_has_no_shift() -> None:
    shifted, twin = generate("shift_and_rupture"), generate("rupture")
    ruptures, course = shifted.truth.ruptures, shifted.truth.course
    before = course.shift_session[:, None] > SESSION

    assert (ruptures.depth >= 3).all()
    assert set(ruptures.kind[:, 0].tolist()) == set(TOTAL_VISIBLE_KINDS)
    assert (ruptures.onset[:, 0] - course.shift_session >= 20).all()
    assert (twin.truth.course.shift_session == -1).all()
    for field in fields(Ruptures):
        np.testing.assert_array_equal(getattr(ruptures, field.name), getattr(twin.truth.ruptures, field.name))
    for field in fields(Observations):
        ours, theirs = getattr(shifted.observations, field.name), getattr(twin.observations, field.name)
        if field.name in ("elements", "total"):
            np.testing.assert_array_equal(ours[before], theirs[before])
            np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
        else:
            np.testing.assert_array_equal(ours, theirs)


def test_there_are_breaks_in_summer_and_at_christmas() -> None:
    gaps = np.diff(MIXED.truth.course.week, axis=1) - 1

    assert ((gaps > 0).sum(axis=1) >= 3).mean() > 0.9
    assert gaps.max() <= max(LONG.summer_weeks[1], LONG.christmas_weeks[1])
    assert gaps.min() == 0


def test_a_transferred_client_has_another_level_and_no_rupture_across_the_transfer() -> None:
    transfer = MIXED.truth.course.transfer_session
    rows = transfer >= 0
    number, level = MIXED.truth.course.number[rows], MIXED.truth.course.level[rows]
    moved = [level[row, at] - level[row, at - 1] for row, at in enumerate(transfer[rows])]
    same = [number[row, at] == number[row, at - 1] and number[row, at] >= 0 for row, at in enumerate(transfer[rows])]

    assert 0.1 < rows.mean() < 0.2
    assert np.std(moved) > 3
    assert not any(same)


def test_a_new_instrument_half_way_gives_only_a_total() -> None:
    observations = MIXED.observations
    is_instrument = observations.instrument == INSTRUMENT

    assert is_instrument[:, 50].any()
    assert not is_instrument[:, :50].any()
    assert np.isnan(observations.elements[is_instrument]).all()
    assert (~np.isnan(observations.total[is_instrument])).any()
    points = 12 + 48 * observations.total[is_instrument & observations.answered] / 100
    np.testing.assert_allclose(points, np.round(points), atol=0.01)


def test_some_clients_change_the_language_of_their_forms() -> None:
    language = MIXED.observations.language

    assert 0.05 < language.any(axis=1).mean() < 0.16
    assert (np.diff(language, axis=1) >= 0).all()


def test_absence_and_silence_mean_nothing_while_the_source_is_stale() -> None:
    observations, in_rupture = MIXED.observations, MIXED.truth.in_rupture
    stale = observations.source_gap
    held = observations.appointment == HELD

    assert 0.1 < stale.any(axis=1).mean() < 0.3
    for sign, counted in (
        (observations.appointment == ABSENT, ~in_rupture),
        (~observations.answered, held & ~in_rupture),
    ):
        assert sign[stale & counted].mean() > 1.5 * sign[~stale & counted].mean()
