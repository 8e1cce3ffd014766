"""The properties of the simulated relationships."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from evaluation.generator import generate_ruptured, generate_stable
from evaluation.relationships import ABSENT, ENDED, HELD, Observations
from evaluation.settings import DEFAULT_PATH, KINDS, load_settings

ORDINAL_WORLD = next(world for world in load_settings().worlds if world.name == "ordinal").reported


def test_the_same_seed_gives_the_same_relationships() -> None:
    first, second = generate_ruptured(ORDINAL_WORLD, 50, 16, seed=7), generate_ruptured(ORDINAL_WORLD, 50, 16, seed=7)

    for field in fields(Observations):
        np.testing.assert_array_equal(getattr(first.observations, field.name), getattr(second.observations, field.name))


def test_ratings_are_whole_answers_within_the_scale() -> None:
    ratings = generate_stable(ORDINAL_WORLD, 200, 16, seed=1).observations.elements
    ratings = ratings[~np.isnan(ratings)]

    assert ratings.min() >= 0
    assert ratings.max() == 100
    assert (ratings % 10 == 0).all()


def test_a_third_of_sessions_is_rated_below_the_cut_off() -> None:
    """The manuals say a quarter; the range of levels in the field study gives 26 to 55%."""
    totals = generate_stable(ORDINAL_WORLD, 2000, 16, seed=2).observations.total

    assert 0.28 < (totals[~np.isnan(totals)] < 90).mean() < 0.42


def test_three_quarters_of_the_variance_lies_between_relationships() -> None:
    truth = generate_stable(ORDINAL_WORLD, 2000, 16, seed=3).truth
    between, within = truth.expected_total.mean(axis=1).var(), (truth.total_spread**2).mean()

    assert 0.70 < between / (between + within) < 0.85


def test_ratings_fall_in_a_rupture_that_affects_all_elements() -> None:
    relationships = generate_ruptured(ORDINAL_WORLD, 2000, 16, seed=4)
    is_step = relationships.truth.kind == KINDS.index("step")
    deviation = (relationships.observations.total - relationships.truth.expected_total)[is_step]

    assert (
        np.nanmean(deviation[relationships.truth.in_rupture[is_step]])
        < -6
        < np.nanmean(deviation[~relationships.truth.in_rupture[is_step]])
    )


def test_withdrawal_shows_in_absence_and_silence_and_not_in_the_ratings() -> None:
    relationships = generate_ruptured(ORDINAL_WORLD, 4000, 16, seed=5)
    is_withdrawal = relationships.truth.kind == KINDS.index("withdrawal")
    in_rupture, appointment = (
        relationships.truth.in_rupture[is_withdrawal],
        relationships.observations.appointment[is_withdrawal],
    )
    deviation = (relationships.observations.total - relationships.truth.expected_total)[is_withdrawal][in_rupture]

    assert abs(np.nanmean(deviation)) < 1
    assert (appointment[in_rupture] == ABSENT).mean() > 2 * (appointment[~in_rupture] == ABSENT).mean()


def test_there_are_no_ratings_after_the_end_of_a_relationship() -> None:
    observations = generate_ruptured(ORDINAL_WORLD, 500, 16, seed=6).observations

    assert (observations.appointment == ENDED).any()
    assert np.isnan(observations.total[observations.appointment != HELD]).all()
    assert np.isnan(observations.clinician_total[observations.appointment != HELD]).all()


def test_a_misspelt_setting_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "worlds.toml"
    path.write_text(DEFAULT_PATH.read_text().replace("loading = 0.8 ", "lodaing = 0.8 "))

    with pytest.raises(ValidationError, match="lodaing"):
        load_settings(path)
