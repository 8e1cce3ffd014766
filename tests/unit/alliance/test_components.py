"""The probabilities of the components, and the weights of the signals that move them."""

from collections.abc import Callable, Sequence
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alliance.domain.detection import components, weights
from services.alliance.domain.detection.baseline import Expectation
from services.alliance.domain.detection.components import CALM, COUNT, DIVERGENCE, START, WHOLE, WITHDRAWAL
from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, RatePrior
from services.alliance.domain.state.history import HistoryEvent
from shared.events import TalkedAbout, Tension
from tests.unit.alliance.histories import histories
from tests.unit.alliance.rated_relationship import BUILDER, fold_events, rated_sessions

ONE_SIGNAL = st.lists(st.floats(-5, 5), min_size=COUNT, max_size=COUNT)
SIGNALS = st.lists(st.none() | ONE_SIGNAL, max_size=30)
"""Signals and, as None, the step to the next session."""
SURE = Expectation(mean=80, spread=10, sureness=1, is_known=True)
PRIOR = RatePrior(happened=1, not_happened=5)


def after(signals: Sequence[Sequence[float] | None]) -> components.Probabilities:
    probabilities = START
    for signal in signals:
        probabilities = (
            components.pass_to_next_session(probabilities)
            if signal is None
            else components.update(probabilities, signal)
        )
    return probabilities


def probability(*signals: Sequence[float]) -> float:
    return components.rupture_probability(after(signals), DEFAULT_POLICY.base_rate)


@given(signals=SIGNALS)
def test_the_probabilities_add_up_to_one_after_any_signals(signals: list[list[float] | None]) -> None:
    probabilities = after(signals)

    assert sum(probabilities) == pytest.approx(1)
    assert min(probabilities) >= 0


@given(events=histories())
def test_the_probabilities_of_an_alliance_add_up_to_one(events: list[HistoryEvent]) -> None:
    alliance = fold(events, DEFAULT_POLICY)

    assert not alliance.components or sum(alliance.components) == pytest.approx(1)


@given(signals=SIGNALS)
def test_a_signal_without_weight_changes_nothing(signals: list[list[float] | None]) -> None:
    assert components.update(after(signals), weights.NO_WEIGHTS) == pytest.approx(after(signals), abs=1e-7)
    assert components.update((), weights.NO_WEIGHTS) == pytest.approx(START)


@given(signals=SIGNALS)
def test_probabilities_have_eight_decimals(signals: list[list[float] | None]) -> None:
    updated = components.update(after(signals), weights.NO_WEIGHTS)

    assert updated == tuple(round(probability, 8) for probability in updated)


def test_a_weight_is_added_to_the_log_odds_of_its_component_against_calm() -> None:
    before = after([])
    updated = components.update(before, [0.0, log(4), *[0.0] * (COUNT - 2)])

    assert updated[WHOLE] / updated[CALM] == pytest.approx(4 * before[WHOLE] / before[CALM])
    assert updated[WITHDRAWAL] / updated[CALM] == pytest.approx(before[WITHDRAWAL] / before[CALM])


def test_from_session_to_session_a_rupture_begins_goes_on_or_ends() -> None:
    calm = (1.0, *[0.0] * (COUNT - 1))
    ruptured = (0.0, 1.0, *[0.0] * (COUNT - 2))

    assert 1 - components.pass_to_next_session(calm)[CALM] == pytest.approx(components.START_PROBABILITY)
    assert components.pass_to_next_session(ruptured)[WHOLE] == components.CONTINUATION_PROBABILITY
    assert components.pass_to_next_session(ruptured)[CALM] == pytest.approx(1 - components.CONTINUATION_PROBABILITY)


def test_at_a_lower_base_rate_the_same_signals_are_less_probable_by_its_log_odds() -> None:
    likely = after([[0.0, *[4.0] * (COUNT - 1)]])
    low, high = (components.rupture_probability(likely, rate) for rate in (0.05, 0.30))

    assert low < high
    assert components.log_odds(high) - components.log_odds(low) == pytest.approx(
        components.log_odds(0.30) - components.log_odds(0.05)
    )


@given(probability=st.floats(0.02, 0.98), base_rate=st.floats(0.01, 0.5))
def test_the_way_to_a_threshold_leads_to_it(probability: float, base_rate: float) -> None:
    way = components.log_odds_from_start_to(probability, base_rate)
    there = components.update(START, [0.0, *[way] * (COUNT - 1)])

    assert components.rupture_probability(there, base_rate) == pytest.approx(probability, abs=0.001)


def test_a_rating_weighs_the_more_the_further_it_is_below_what_was_expected() -> None:
    drops = [weights.client_rating_weights(80 - points, SURE) for points in (-10, 0, 10, 20, 30)]
    depth, temper = weights.WHOLE_DEPTH_SPREADS, weights.RATING_TEMPER

    assert [drop[WHOLE] for drop in drops] == sorted(drop[WHOLE] for drop in drops)
    assert drops[3][WHOLE] == pytest.approx(temper * (depth * 2 - depth**2 / 2))
    assert drops[0][WHOLE] < 0 < drops[4][WHOLE] <= weights.MAX_WEIGHT
    assert {index for index, weight in enumerate(drops[3]) if weight} == {WHOLE, DIVERGENCE}


def test_a_rating_weighs_less_while_little_is_known() -> None:
    unsure = Expectation(mean=80, spread=10, sureness=0.5, is_known=True)

    assert abs(weights.client_rating_weights(55, unsure)[WHOLE]) < abs(weights.client_rating_weights(55, SURE)[WHOLE])


def test_an_element_that_falls_deeper_counts_for_more() -> None:
    """Only for its own component, so that the seven others do not dilute it."""
    usual = Expectation(mean=0, spread=12, sureness=1, is_known=True)
    drops = [weights.element_weights({"trust": -points}, {"trust": usual}) for points in (20.0, 30.0, 40.0)]
    trust = components.FIRST_ELEMENT + components.ELEMENTS.index("trust")

    assert drops[0][trust] < drops[1][trust] < drops[2][trust]
    assert {index for index, weight in enumerate(drops[0]) if weight} == {trust}
    assert probability(drops[0]) < probability(drops[1]) < probability(drops[2])


def test_an_element_of_which_nothing_is_known_has_no_weight() -> None:
    unknown = Expectation(mean=0, spread=12, sureness=0.5, is_known=False)

    assert weights.element_weights({"trust": -60.0}, {"trust": unknown}) == list(weights.NO_WEIGHTS)


@pytest.mark.parametrize("fallen", [6, 5, 4])
def test_the_probability_rises_with_each_point_that_trust_falls_further(fallen: float) -> None:
    """3, 4 and 5 of ten points in a relationship whose elements vary as they usually do."""
    varied = [
        event
        for week in range(8)
        for event in (BUILDER.completed(week), BUILDER.feedback(week, 9 - week % 2, trust=9 - week % 3, fit=8))
    ]

    def probability_after(trust: float) -> float:
        alliance = fold_events([*varied, BUILDER.completed(8), BUILDER.feedback(8, 9, trust=trust, fit=8)])
        return components.rupture_probability(alliance.components, DEFAULT_POLICY.base_rate)

    assert probability_after(fallen) > probability_after(fallen + 1)


def test_a_clinician_notices_only_some_of_the_ruptures() -> None:
    drop = weights.clinician_rating_weights(50, SURE)
    depth, temper = weights.CLINICIAN_DEPTH_SPREADS, weights.CLINICIAN_TEMPER
    noticed = exp(temper * (depth * 3 - depth**2 / 2))

    assert drop[WHOLE] == pytest.approx(log(1 - weights.CLINICIAN_AWARENESS + weights.CLINICIAN_AWARENESS * noticed))
    assert weights.clinician_rating_weights(95, SURE)[WHOLE] >= log(1 - weights.CLINICIAN_AWARENESS)


def test_a_rating_that_rises_while_the_others_falls_is_divergence() -> None:
    client, clinician = weights.client_rating_weights(65, SURE), weights.clinician_rating_weights(92, SURE)

    apart = after([weights.add([client, clinician])])
    together = after([weights.add([client, weights.clinician_rating_weights(65, SURE)])])

    assert clinician[DIVERGENCE] > 0 > clinician[WHOLE]
    assert apart[DIVERGENCE] > after([client])[DIVERGENCE]
    assert apart[DIVERGENCE] / apart[WHOLE] > together[DIVERGENCE] / together[WHOLE]


@pytest.mark.parametrize("weigh", [weights.silence_weights, weights.absence_weights])
def test_what_is_missed_is_compared_with_the_own_habit_in_every_rupture(weigh: Callable[..., weights.Weights]) -> None:
    missed, not_missed = weigh(True, 2, 10, PRIOR), weigh(False, 2, 10, PRIOR)
    usual = (1 + 2) / (6 + 10)

    assert missed[WHOLE] == pytest.approx(log(weights.MISS_FACTOR))
    assert not_missed[WHOLE] == pytest.approx(log((1 - weights.MISS_FACTOR * usual) / (1 - usual)))
    assert weigh(True, 0, 0, PRIOR) == list(weights.NO_WEIGHTS)


def test_in_withdrawal_it_is_compared_with_an_absolute_rate() -> None:
    """A client who always answers and falls silent shows more than one who often does not answer."""
    reliable, unreliable = (weights.silence_weights(True, missed, 20, PRIOR) for missed in (0, 10))

    assert reliable[WITHDRAWAL] > unreliable[WITHDRAWAL] > unreliable[WHOLE]
    assert reliable[WHOLE] == pytest.approx(log(weights.MISS_FACTOR))
    assert weights.silence_weights(False, 0, 20, PRIOR)[WITHDRAWAL] < 0


@pytest.mark.parametrize("missed", [0, 10_000])
def test_no_habit_is_credited_as_more_extreme_than_can_be_known(missed: int) -> None:
    assert all(abs(weight) < 6 for weight in weights.absence_weights(True, missed, 10_000, PRIOR))
    assert all(abs(weight) < 6 for weight in weights.absence_weights(False, missed, 10_000, PRIOR))


def test_a_habit_of_reporting_tension_is_learned() -> None:
    rare, usual = weights.tension_weights("yes", None, 0, 20), weights.tension_weights("yes", None, 20, 20)

    assert rare[WHOLE] > usual[WHOLE] >= 0
    assert probability(usual) < DEFAULT_POLICY.watch


@pytest.mark.parametrize(("first", "second"), [("not", "partly"), ("partly", "yes"), (None, "yes")])
def test_a_tension_weighs_less_if_it_was_talked_about(first: TalkedAbout | None, second: TalkedAbout) -> None:
    degrees: tuple[Tension, ...] = ("yes", "a_little")
    for tension in degrees:
        assert (
            weights.tension_weights(tension, first, 0, 5)[WHOLE] > weights.tension_weights(tension, second, 0, 5)[WHOLE]
        )


def test_a_little_tension_weighs_less_and_none_speaks_for_calm() -> None:
    degrees: tuple[Tension, ...] = ("yes", "a_little", "none")
    a_lot, little, none = (weights.tension_weights(tension, None, 0, 5) for tension in degrees)

    assert a_lot[WHOLE] > little[WHOLE] > 0 > none[WHOLE]


def test_a_session_cut_short_is_withdrawal_more_than_anything_else() -> None:
    short = weights.cut_short_weights()

    assert short[WITHDRAWAL] > short[WHOLE] > 0
    assert short[CALM] == 0


def test_signals_of_one_session_add_up() -> None:
    one, other = weights.cut_short_weights(), weights.tension_weights("yes", None, 0, 5)

    assert weights.add([one, other]) == pytest.approx([a + b for a, b in zip(one, other, strict=True)])
    assert weights.add([]) == list(weights.NO_WEIGHTS)


def test_a_calm_relationship_is_far_from_worth_watching() -> None:
    alliance = fold_events(rated_sessions(*[9.0] * 8))

    calm = components.rupture_probability(alliance.components, DEFAULT_POLICY.base_rate)
    assert calm < DEFAULT_POLICY.watch / 4
