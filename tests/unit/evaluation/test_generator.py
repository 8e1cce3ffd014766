"""What the simulated relationships are like, and that they are always the same ones."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from evaluation.generator import ruptured, stable
from evaluation.relationships import AWAY, HELD, OVER, Seen
from evaluation.settings import KINDS, SHIPPED, load

ORDINAL = next(place for place in load().places if place.name == "ordinal").reported


def test_the_same_seed_gives_the_same_relationships() -> None:
    one, other = ruptured(ORDINAL, 50, 16, seed=7), ruptured(ORDINAL, 50, 16, seed=7)

    for field in fields(Seen):
        np.testing.assert_array_equal(getattr(one.seen, field.name), getattr(other.seen, field.name))


def test_ratings_are_whole_answers_within_the_scale() -> None:
    given = stable(ORDINAL, 200, 16, seed=1).seen.elements
    given = given[~np.isnan(given)]

    assert given.min() >= 0
    assert given.max() == 100
    assert (given % 10 == 0).all()


def test_a_third_of_sessions_is_rated_below_the_cut_off() -> None:
    """A quarter is in the manuals; the field study's range of levels gives 26 to 55%."""
    total = stable(ORDINAL, 2000, 16, seed=2).seen.total

    assert 0.28 < (total[~np.isnan(total)] < 90).mean() < 0.42


def test_three_quarters_of_the_variance_lies_between_relationships() -> None:
    truth = stable(ORDINAL, 2000, 16, seed=3).truth
    between, within = truth.expected.mean(axis=1).var(), (truth.spread**2).mean()

    assert 0.70 < between / (between + within) < 0.85


def test_ratings_fall_in_a_rupture_that_all_elements_take_part_in() -> None:
    history = ruptured(ORDINAL, 2000, 16, seed=4)
    steps = history.truth.kind == KINDS.index("step")
    off = (history.seen.total - history.truth.expected)[steps]

    assert np.nanmean(off[history.truth.inside[steps]]) < -6 < np.nanmean(off[~history.truth.inside[steps]])


def test_withdrawal_shows_in_absence_and_silence_and_not_in_the_ratings() -> None:
    history = ruptured(ORDINAL, 4000, 16, seed=5)
    of_kind = history.truth.kind == KINDS.index("withdrawal")
    inside, became = history.truth.inside[of_kind], history.seen.appointment[of_kind]
    off = (history.seen.total - history.truth.expected)[of_kind][inside]

    assert abs(np.nanmean(off)) < 1
    assert (became[inside] == AWAY).mean() > 2 * (became[~inside] == AWAY).mean()


def test_nothing_is_heard_after_the_end() -> None:
    seen = ruptured(ORDINAL, 500, 16, seed=6).seen

    assert (seen.appointment == OVER).any()
    assert np.isnan(seen.total[seen.appointment != HELD]).all()
    assert np.isnan(seen.clinician[seen.appointment != HELD]).all()


def test_a_misspelt_setting_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "worlds.toml"
    wrong.write_text(SHIPPED.read_text().replace("loading = 0.8 ", "lodaing = 0.8 "))

    with pytest.raises(ValidationError, match="lodaing"):
        load(wrong)
