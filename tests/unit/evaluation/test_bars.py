"""When a bar is met, and that each bar measures what it says."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.__main__ import numbers, undeclared_misses
from evaluation.adaptation import Repeat
from evaluation.bars import (
    adapted,
    against_previous,
    early_onset,
    elements,
    falsely_alarmed,
    withdrawal,
)
from evaluation.measured import Measured, Results, mean
from evaluation.measures import Resamples
from evaluation.methods import OWN_MEAN
from evaluation.oracle_bars import oracle_share
from evaluation.oracles import ORACLE, ORACLE_OF_CLIENT
from evaluation.settings import ASKINGS, UNASKED
from evaluation.simulation.generator import generate_ruptured, generate_stable
from evaluation.simulation.settings import KINDS, load_settings
from evaluation.trial import ATTUNE, PREVIOUS, Messages, Outcome, Samples, TrialResamples, WorldTrial
from tests.support.folded import folded

SETTINGS = load_settings()
COUNT, RESAMPLES = 200, 40
POINTS = np.linspace(-1, 1, 41)


def measured(value: float, half_width: float, **bar: object) -> Measured:
    estimate = np.array([value, *(value + half_width * POINTS / 0.95)])
    return replace(Measured("key", "statement", estimate), **bar)  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "is_met"), [(0.80, True), (0.785, True), (0.765, False)])
def test_a_floor_is_met_if_the_interval_reaches_at_most_three_points_below_it(value: float, is_met: bool) -> None:
    assert measured(value, 0.03, floor=0.78).is_met() == is_met


@pytest.mark.parametrize(("value", "is_met"), [(0.28, True), (0.295, True), (0.315, False)])
def test_a_ceiling_is_met_if_the_interval_reaches_at_most_three_points_above_it(value: float, is_met: bool) -> None:
    assert measured(value, 0.03, ceiling=0.30).is_met() == is_met


@pytest.mark.parametrize(("value", "is_met"), [(0.15, False), (0.17, True), (0.20, True), (0.25, False)])
def test_a_range_is_met_if_both_hold(value: float, is_met: bool) -> None:
    assert measured(value, 0.02, floor=0.17, ceiling=0.23).is_met() == is_met


def test_a_ratio_is_met_by_its_value() -> None:
    assert measured(1.61, 0.5, floor=1.6, unit="times").is_met()
    assert not measured(1.59, 0.0, floor=1.6, unit="times").is_met()
    assert not measured(0.149, 0.0, floor=0.15, unit="skill").is_met()


def test_a_short_run_misses_only_what_the_interval_rules_out() -> None:
    unsure, sure = measured(0.70, 0.10, floor=0.78), measured(0.60, 0.10, floor=0.78)

    assert (unsure.is_met(is_short=True), unsure.is_met()) == (True, False)
    assert not sure.is_met(is_short=True)
    assert undeclared_misses([unsure, sure], {}, is_short=True) == [sure]
    assert undeclared_misses([unsure, sure], {"key": "a reason"}, is_short=False) == []


def outcome(found: np.ndarray) -> Outcome:
    nothing = np.zeros(COUNT)
    return Outcome(
        np.zeros(RESAMPLES + 1), np.tile(found, (RESAMPLES + 1, 1)), (found,) * 4, nothing > 0, nothing, nothing
    )


def trial(found_by: dict[str, np.ndarray], alarmed_rows: int = 0, world: str = "ordinal") -> WorldTrial:
    """One in which each method finds these ruptures, and Attune alarms the first stable relationships."""
    simulated = SETTINGS.world(world)
    stable, ruptured = (generate(simulated.reported, COUNT, 5) for generate in (generate_stable, generate_ruptured))
    samples = Samples(stable, stable, ruptured)
    reached = np.zeros((COUNT, 16), int)
    reached[:alarmed_rows, 3] = 2
    messages = Messages(folded(reached=reached), folded(reached=0 * reached))
    all_found = outcome(np.ones(COUNT, bool))
    outcomes = {ORACLE: all_found, ORACLE_OF_CLIENT: all_found} | {
        name: outcome(found) for name, found in found_by.items()
    }
    by_asking = dict.fromkeys(ASKINGS, messages)
    return WorldTrial(simulated, samples, TrialResamples.draw(samples, RESAMPLES, 1), outcomes, by_asking, {})


def results(*trials: WorldTrial, repeats: tuple[Repeat, ...] = ()) -> Results:
    return Results(trials, (), {}, repeats, RESAMPLES, 1)


KIND = trial({}).samples.ruptured.truth.kind
IS_EVEN = np.arange(COUNT) % 2 == 0


def test_the_share_of_the_oracle_is_about_ruptures_of_the_whole_rating() -> None:
    found = np.isin(KIND, [KINDS.index(kind) for kind in ("v", "step", "slide")])

    assert oracle_share(results(trial({ATTUNE: found})))[0].value == 1.0
    assert oracle_share(results(trial({ATTUNE: ~found})))[0].value == 0.0


def test_worlds_without_effects_do_not_count_against_the_previous_model() -> None:
    better = trial({ATTUNE: np.ones(COUNT, bool), PREVIOUS: IS_EVEN})
    worse, mute = (trial({ATTUNE: IS_EVEN & (KIND < 2), PREVIOUS: IS_EVEN}, world=world) for world in ("low", "mute"))

    average, lowest = against_previous(results(better, worse, mute))
    loss = (IS_EVEN & (worse.samples.ruptured.truth.kind >= 0) & ~(KIND < 2)).mean()

    assert average.value == pytest.approx((0.5 - loss) / 2)
    assert lowest.value == pytest.approx(-loss)
    assert lowest.note == "Low and noisy"


def test_elements_and_withdrawal_are_about_ruptures_of_that_kind() -> None:
    is_withdrawal = np.isin(KIND, KINDS.index("withdrawal"))
    is_element = np.isin(KIND, KINDS.index("elements"))
    some = trial({ATTUNE: is_element | (is_withdrawal & IS_EVEN), PREVIOUS: is_element & IS_EVEN})
    is_complete = some.samples.ruptured.truth.clients.missing_rate < 0.1

    assert elements(results(some))[0].value == pytest.approx(is_element.mean() / (is_element & IS_EVEN).mean())
    assert withdrawal(results(some))[0].value == pytest.approx(IS_EVEN[is_withdrawal & is_complete].mean())


def test_an_early_onset_is_one_in_sessions_2_to_4() -> None:
    session = 1 + trial({}).samples.ruptured.truth.onset_session
    is_early, some = (session >= 2) & (session <= 4), IS_EVEN & (session <= 4)

    gain = early_onset(results(trial({ATTUNE: is_early, OWN_MEAN: some | (session > 4)})))[0]

    assert gain.value == pytest.approx(1 - some[is_early].mean())


def test_false_alarms_are_messages_in_stable_relationships() -> None:
    measures = falsely_alarmed(results(trial({}, alarmed_rows=20), trial({}, alarmed_rows=60, world="low")))

    assert [measure.value for measure in measures[:2]] == [pytest.approx(0.2), pytest.approx(0.3)]
    assert measures[1].note == "Low and noisy"
    assert len(measures) == 2 * len(ASKINGS)


def test_an_adaptation_is_judged_by_its_mean_and_by_the_repeats_in_range() -> None:
    repeats = tuple(Repeat("ordinal", 0.2, share, 0.3) for share in (0.10, 0.20, 0.22, 0.24) * 3)

    average, in_range = adapted(results(repeats=repeats))

    assert average.value == pytest.approx(0.19)
    assert in_range.value == pytest.approx(0.75)
    assert adapted(results(repeats=repeats[:4])) == []


def test_a_mean_over_worlds_leaves_out_where_nothing_is_defined() -> None:
    assert mean([np.array([0.2, 0.4]), np.array([0.4, np.nan])]).tolist() == pytest.approx([0.3, 0.4])


def test_the_numbers_of_a_run_can_be_compared() -> None:
    written = numbers([measured(0.8, 0.0, floor=0.78)], [trial({ATTUNE: IS_EVEN}, alarmed_rows=20)])

    assert written["bars"] == {"key": {"value": 0.8, "low": 0.8, "high": 0.8, "met": True}}
    assert written["found"] == {"ordinal": {ORACLE: 1.0, ORACLE_OF_CLIENT: 1.0, ATTUNE: 0.5}}
    assert written["falsely_messaged"] == {"ordinal": dict.fromkeys(ASKINGS, pytest.approx(0.1))}


def test_resamples_of_a_world_are_the_same_for_all_methods() -> None:
    one = trial({ATTUNE: IS_EVEN, PREVIOUS: IS_EVEN})

    assert (one.share_found(ATTUNE) == one.share_found(PREVIOUS)).all()
    assert Resamples.draw(5, 3, 1).weights.sum(axis=1).tolist() == [5, 5, 5, 5]
    assert UNASKED in one.messages
