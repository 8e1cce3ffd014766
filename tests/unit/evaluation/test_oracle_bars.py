"""When a bar is replaced by a share of what the oracle of the client reaches."""

import numpy as np
import pytest

from evaluation.attune import URGENT
from evaluation.measured import Measured, Results
from evaluation.measures import Estimate
from evaluation.oracle_bars import calibration, is_beyond, oracle_share, oracle_share_asked, oracle_urgent, urgent
from evaluation.oracles import ORACLE, ORACLE_OF_CLIENT, ORACLE_OF_CLIENT_WITH_BEHAVIOUR
from evaluation.reliability import Reliability
from evaluation.settings import ASKED_LAWS, ASKINGS
from evaluation.simulation.generator import generate_ruptured, generate_stable
from evaluation.simulation.settings import load_settings
from evaluation.tables import bars_table, replaced_bars
from evaluation.trial import (
    ATTUNE,
    Messages,
    Outcome,
    Posteriors,
    Samples,
    TrialResamples,
    WorldTrial,
    asked,
)
from tests.support.folded import folded

WORLD = load_settings().world("ordinal")
COUNT, SEEN, RESAMPLES = 300, 200, 40
STABLE, RUPTURED = (generate(WORLD.reported, COUNT, 5) for generate in (generate_stable, generate_ruptured))
AT_ONSET = np.arange(16) == RUPTURED.truth.onset_session[:, None]
IS_WHOLE = np.isin(RUPTURED.truth.kind, (0, 1, 2))
ROW = np.arange(COUNT)


def estimate(value: float, half_width: float = 0.01) -> Estimate:
    return np.array([value, *(value + half_width * np.linspace(-1, 1, RESAMPLES) / 0.95)])


def results_of_skills(*cells: tuple[str, Estimate, Estimate]) -> Results:
    """Of Attune and of the oracle of the client, in each world."""
    nothing, asking = np.zeros((RESAMPLES + 1, 10)), str(ASKED_LAWS[0])
    reliabilities = {
        (world, asking, 0.15): Reliability(nothing[0], nothing, nothing, of_attune) for world, of_attune, _ in cells
    }
    skills = {
        (world, asking, 0.15): {ATTUNE: of_attune, ORACLE_OF_CLIENT_WITH_BEHAVIOUR: of_oracle}
        for world, of_attune, of_oracle in cells
    }
    return Results((), (), reliabilities, (), RESAMPLES, 1, skills)


def by_key(bars: list[Measured]) -> dict[str, Measured]:
    return {bar.key: bar for bar in bars}


@pytest.mark.parametrize(("value", "beyond"), [(0.14, True), (0.155, True), (0.20, False)])
def test_a_bar_is_beyond_the_oracle_if_its_interval_reaches_under_it(value: float, beyond: bool) -> None:
    assert is_beyond(estimate(value, 0.02), 0.15) == beyond


def test_a_brier_skill_is_asked_for_where_the_oracle_of_the_client_surely_has_it() -> None:
    bars = by_key(calibration(results_of_skills(("low", estimate(0.12), estimate(0.30)))))

    assert (bars["brier-0.15"].value, bars["brier-0.15"].floor) == (0.12, 0.15)
    assert not bars["brier-0.15"].is_met()
    assert "0.30" in bars["brier-0.15"].note
    assert bars["brier-share-0.15"].value == pytest.approx(0.4)
    assert not bars["brier-share-0.15"].has_bar
    assert "brier-replaced-0.15" not in bars


def test_where_the_oracle_of_the_client_misses_it_its_share_is_asked_for() -> None:
    cells = (
        ("easy", estimate(0.20), estimate(0.30)),
        ("hard", estimate(0.12), estimate(0.15)),
        ("mute", estimate(0.07), estimate(0.10)),
    )
    bars = by_key(calibration(results_of_skills(*cells)))
    replaced = bars["brier-replaced-0.15"]

    assert bars["brier-0.15"].value == 0.20
    assert bars["brier-0.15"].is_met()
    assert replaced.value == pytest.approx(0.7)
    assert replaced.floor == 0.78
    assert not replaced.is_met()
    assert "Even an observer who knew every client perfectly, and saw all that Attune sees," in replaced.replaced
    assert (
        "reach this in: hard, candid answers; mute, candid answers. There, Attune must reach 78%" in replaced.replaced
    )
    assert [bar.key for bar in bars.values() if bar.replaced] == ["brier-replaced-0.15"]


def test_a_replaced_bar_is_met_by_the_share_of_the_oracle() -> None:
    bars = by_key(calibration(results_of_skills(("hard", estimate(0.12), estimate(0.15)))))

    assert bars["brier-replaced-0.15"].is_met()
    assert set(bars) == {"brier-replaced-0.15"}


def outcome(found: np.ndarray) -> Outcome:
    nothing = np.zeros(len(found))
    return Outcome(
        np.zeros(RESAMPLES + 1), np.tile(found, (RESAMPLES + 1, 1)), (found,) * 4, nothing > 0, nothing, nothing
    )


def trial(found: dict[str, np.ndarray], oracle_sees: np.ndarray, urgent_rows: np.ndarray) -> WorldTrial:
    """One in which the oracle is sure of these ruptures from their onset, and Attune urgent about those."""
    samples = Samples(STABLE, STABLE, RUPTURED)
    reached = URGENT * (AT_ONSET & urgent_rows[:, None])
    messages = dict.fromkeys(ASKINGS, Messages(folded(reached=0 * reached), folded(reached=reached)))
    of_ruptured = np.where(AT_ONSET & oracle_sees[:, None], 0.9, 0.01)[:SEEN]
    posteriors = {
        (ORACLE_OF_CLIENT_WITH_BEHAVIOUR, law, 0.15): Posteriors(np.full((SEEN, 16), 0.01), of_ruptured)
        for law in ASKINGS
    }
    outcomes = {name: outcome(rows) for name, rows in found.items()}
    resamples = TrialResamples.draw(samples, RESAMPLES, 1)
    return WorldTrial(WORLD, samples, resamples, outcomes, messages, {}, posteriors)


def results_of(of_trial: WorldTrial) -> Results:
    return Results((of_trial,), (), {}, (), RESAMPLES, 1)


def test_the_share_of_an_oracle_is_about_the_relationships_that_it_saw() -> None:
    found = {ATTUNE: ROW < SEEN / 2, ORACLE: ROW >= 0, ORACLE_OF_CLIENT: ROW[:SEEN] < SEEN / 2}
    bars = by_key(oracle_share(results_of(trial(found, ROW < 0, ROW < 0))))

    assert bars["oracle"].value == pytest.approx((IS_WHOLE & (ROW < SEEN / 2)).sum() / IS_WHOLE.sum())
    assert bars["oracle-client"].value == 1.0
    assert not bars["oracle-client"].has_bar
    assert "beyond the reach of the oracle of the client: " in bars["oracle"].note


def test_with_the_question_the_oracle_of_the_client_sees_the_answers_too() -> None:
    law = ASKED_LAWS[1]
    found = {ORACLE: ROW >= 0} | {
        name: rows
        for of_law in ASKED_LAWS
        for name, rows in (
            (asked(ATTUNE, of_law), ROW % 2 == 0),
            (asked(ORACLE_OF_CLIENT_WITH_BEHAVIOUR, of_law), ROW[:SEEN] % 4 == 0 if of_law == law else ROW[:SEEN] >= 0),
        )
    }
    bars = by_key(oracle_share_asked(results_of(trial(found, ROW < 0, ROW < 0))))
    counted = IS_WHOLE[:SEEN]

    assert bars[f"oracle-{law}"].floor == 0.95
    assert bars[f"oracle-{law}-client"].value == pytest.approx(
        (counted & (ROW[:SEEN] % 2 == 0)).sum() / (counted & (ROW[:SEEN] % 4 == 0)).sum()
    )


def test_half_of_the_deep_ruptures_is_asked_for_if_the_oracle_of_the_client_reaches_them() -> None:
    law = ASKED_LAWS[0]
    bars = by_key(urgent(results_of(trial({}, ROW >= 0, ROW % 2 == 0))))

    assert bars[f"urgent-deep-{law}"].floor == 0.50
    assert bars[f"urgent-deep-share-{law}"].value == pytest.approx(bars[f"urgent-deep-{law}"].value, abs=0.1)
    assert not bars[f"urgent-deep-share-{law}"].has_bar
    assert bars[f"urgent-right-{law}"].value == 1.0
    assert not any(bar.replaced for bar in bars.values())


def test_the_share_of_the_oracle_is_asked_for_if_it_does_not() -> None:
    law = ASKED_LAWS[0]
    bars = by_key(urgent(results_of(trial({}, ROW % 3 == 0, ROW % 3 == 0))))

    assert not bars[f"urgent-deep-{law}"].has_bar
    assert (bars[f"urgent-deep-share-{law}"].value, bars[f"urgent-deep-share-{law}"].floor) == (1.0, 0.78)
    assert f"With {law} answers, it cannot be asked for" in bars[f"urgent-deep-share-{law}"].replaced
    assert bars[f"urgent-right-{law}"].floor == 0.40


def test_the_oracle_alerts_from_the_lowest_threshold_at_which_enough_alerts_are_right() -> None:
    of_trial = trial({}, ROW >= 0, ROW < 0)
    law = ASKED_LAWS[0]
    key = (ORACLE_OF_CLIENT_WITH_BEHAVIOUR, law, 0.15)
    posteriors = of_trial.posteriors[key]
    of_trial.posteriors[key] = Posteriors(
        np.where(np.arange(16) == 3, 0.5, 0.01) * np.ones((SEEN, 1)), posteriors.ruptured
    )

    threshold, alerts = oracle_urgent(results_of(of_trial), law)

    assert threshold == pytest.approx(0.52)
    assert not alerts[0].stable.any()
    assert alerts[0].ruptured.sum() == SEEN


@pytest.mark.parametrize(
    ("at_half", "at_most", "expected"),
    [(24, 0, 0.10), (70, 60, 0.52)],
    ids=["60% are right, which is enough", "never 40%, and most at .52"],
)
def test_the_oracle_alerts_no_later_than_needed_and_else_where_most_are_right(
    at_half: int, at_most: int, expected: float
) -> None:
    """Of so many stable relationships, it says .5 or even .95; of the ruptures .9."""
    of_trial, law = trial({}, ROW >= 0, ROW < 0), ASKED_LAWS[0]
    key, row = (ORACLE_OF_CLIENT_WITH_BEHAVIOUR, law, 0.15), np.arange(SEEN)
    of_stable = np.full((SEEN, 16), 0.01)
    of_stable[:, 3] = np.select([row < at_most, row < at_half], [0.95, 0.5], 0.01)
    of_trial.posteriors[key] = Posteriors(of_stable, of_trial.posteriors[key].ruptured)

    assert oracle_urgent(results_of(of_trial), law)[0] == pytest.approx(expected)


def test_what_is_said_above_a_half_may_be_off_by_ten_points() -> None:
    count, said = np.where(np.arange(10) == 6, 300.0, 0.0), np.tile(0.65, (RESAMPLES + 1, 10))
    asking = str(ASKED_LAWS[0])
    reliability = Reliability(count, said, said - 0.12, estimate(0.2))
    skills = {("low", asking, 0.15): {ATTUNE: estimate(0.2), ORACLE_OF_CLIENT_WITH_BEHAVIOUR: estimate(0.3)}}
    bars = by_key(calibration(Results((), (), {("low", asking, 0.15): reliability}, (), RESAMPLES, 1, skills)))

    assert bars["bins-0.15"].value == pytest.approx(0.12)
    assert bars["bins-0.15"].ceiling == 0.10


def test_the_page_says_which_bars_were_replaced() -> None:
    stands = Measured("key", "A share", estimate(0.5), floor=0.4)
    replaced = Measured("other", "Another share", estimate(0.5), floor=0.78, replaced="Half cannot be asked for.")

    assert replaced_bars([stands]).startswith("No bar was replaced")
    assert replaced_bars([stands, replaced]) == "Replaced:\n\n- Half cannot be asked for."


def test_the_table_says_where_there_is_no_bar() -> None:
    table = bars_table([Measured("key", "A share", estimate(0.5))], {})

    assert "| A share | for comparison | 50.0% |" in table
    assert table.endswith("| – |")
