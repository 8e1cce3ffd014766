"""The service's own fold on simulated relationships."""

from dataclasses import fields, replace
from uuid import uuid5

import numpy as np
import pytest

from evaluation import attune
from evaluation.attune import (
    CLIENT_NAMESPACE,
    CONCERN,
    NOT_OPEN,
    REPAIRED,
    SHIPPED_POLICY,
    Folded,
    fold_all,
    history_of,
    is_at_floor,
    policy_at,
    rises_of,
    state_sizes,
)
from evaluation.simulation.generator import generate_long, generate_ruptured
from evaluation.simulation.question import ask
from evaluation.simulation.settings import load_settings
from evaluation.simulation.truth import ENDED, HELD
from services.alliance.domain.detection.components import rupture_log_odds, rupture_probability
from services.alliance.domain.fold import fold
from services.alliance.store.stored_names import dump_alliance

SETTINGS = load_settings()
WORLD = SETTINGS.world("low").reported
RUPTURED = ask(generate_ruptured(WORLD, 40, seed=2), SETTINGS.question, "candid", seed=3)
FOLDED = fold_all(RUPTURED)
LAST = RUPTURED.truth.appointment_count - 1


def test_the_last_probability_and_episode_are_those_of_the_services_fold() -> None:
    is_held = RUPTURED.observations.appointment[np.arange(len(LAST)), LAST] == HELD
    for row in np.flatnonzero(is_held).tolist():
        folded = fold(history_of(RUPTURED, row, uuid5(CLIENT_NAMESPACE, str(row))), SHIPPED_POLICY)
        probability = rupture_probability(folded.components, SHIPPED_POLICY.base_rate)
        assert FOLDED.probability[row, LAST[row]] == pytest.approx(probability)
        assert (FOLDED.open_since[row, LAST[row]] != NOT_OPEN) == (folded.open_episode is not None)
    assert is_held.sum() > 20
    assert (FOLDED.open_since[np.arange(len(LAST)), LAST] != NOT_OPEN).any()


def test_the_score_waits_for_the_answer_of_the_client() -> None:
    """Where the clinician answered before, it is the log-odds after the client's answer and no earlier ones."""
    observed, row = RUPTURED.observations, np.arange(len(LAST))
    client_is_last = observed.clinician_first & observed.answered & ~np.isnan(observed.clinician_total)
    rows = np.flatnonzero(client_is_last[row, LAST] & (LAST > 0)).tolist()
    log_odds = [rupture_log_odds(fold(history_of(RUPTURED, row), SHIPPED_POLICY).components) for row in rows]

    assert len(rows) > 5
    assert FOLDED.score[rows, LAST[rows]].tolist() == pytest.approx(log_odds)


def test_an_episode_that_was_repaired_is_where_it_ended() -> None:
    is_repaired = [
        fold(history_of(RUPTURED, row), SHIPPED_POLICY).last_repaired is not None for row in range(len(RUPTURED))
    ]

    assert any(is_repaired)
    assert (FOLDED.ended == REPAIRED).any(axis=1).tolist() == is_repaired


def test_only_an_answer_at_the_floor_is_of_concern_below_the_threshold() -> None:
    below = {
        (row, t)
        for row in range(len(RUPTURED))
        for t, episode in rises_of(RUPTURED, row)
        if episode.severity != "watch" and (episode.probability or 0.0) < SHIPPED_POLICY.concern
    }
    is_exempt = FOLDED.is_exempt & (FOLDED.reached >= CONCERN)

    assert below == set(zip(*np.nonzero(is_exempt), strict=True))
    assert below
    assert is_at_floor(RUPTURED)[is_exempt].all()
    assert not FOLDED.is_alarmed[is_exempt].any()


def test_relationships_stay_in_order_however_they_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attune, "ROWS_PER_TASK", 7)
    divided = fold_all(RUPTURED)

    for field in fields(Folded):
        np.testing.assert_array_equal(getattr(divided, field.name), getattr(FOLDED, field.name), err_msg=field.name)


def test_nothing_is_said_after_the_end_of_a_relationship() -> None:
    is_over = RUPTURED.observations.appointment == ENDED

    assert is_over.any()
    assert not FOLDED.reached[is_over].any()
    assert np.isnan(FOLDED.score[is_over]).all()


def test_an_alert_is_where_an_episode_begins_or_rises() -> None:
    alarms = [(row, t, episode.severity) for row in range(len(RUPTURED)) for t, episode in rises_of(RUPTURED, row)]

    assert {(row, t) for row, t, _ in alarms} == set(zip(*np.nonzero(FOLDED.reached), strict=True))
    assert {(row, t) for row, t, severity in alarms if severity != "watch"} == set(
        zip(*np.nonzero(FOLDED.reached >= CONCERN), strict=True)
    )
    assert (FOLDED.is_alarmed == ((FOLDED.reached >= CONCERN) & ~FOLDED.is_exempt)).all()


def test_an_answer_at_the_floor_is_one_of_40_or_an_element_of_20_points() -> None:
    one = RUPTURED.select(np.array([0]))
    totals, elements = np.full((1, 16), 41.0), np.full_like(one.observations.elements, 21.0)
    totals[0, [1, 2]], elements[0, [3, 4], 0] = (40, np.nan), (20, np.nan)
    observed = replace(one.observations, total=totals, elements=elements)

    assert np.flatnonzero(is_at_floor(replace(one, observations=observed))[0]).tolist() == [1, 3]


def test_another_base_rate_is_another_probability() -> None:
    higher = fold_all(RUPTURED, policy_at(0.3))
    first = higher.probability[:, 1], FOLDED.probability[:, 1]

    assert (first[0] > first[1]).all()
    np.testing.assert_array_equal(higher.score[:, 0], FOLDED.score[:, 0])


def test_a_transfer_begins_another_relationship() -> None:
    long = generate_long(WORLD, SETTINGS.long.model_copy(update={"transfer_share": 1.0}), 3, 4, "mixed")
    folded, transfer = fold_all(long), long.truth.course.transfer_session

    for row in range(3):
        assert not (folded.open_since[row, transfer[row] :] == transfer[row] - 1).any()
        assert len({event.relationship_id for event in history_of(long, row)}) == 2


def test_the_size_of_a_state_is_that_of_what_is_stored() -> None:
    one = RUPTURED.select(np.array([0]))
    sizes = state_sizes(one)

    assert sizes[-1] == len(dump_alliance(fold(history_of(one, 0), SHIPPED_POLICY)))
    assert len(sizes) == len(history_of(one, 0))
