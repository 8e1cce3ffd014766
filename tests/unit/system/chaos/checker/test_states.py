"""The checker detects every difference between the history and what alliance stores, publishes and shows."""

import pytest

from shared.events import AllianceUpdated, RuptureRepaired, RuptureSuspected, SessionMissed
from tests.unit.system.chaos.checker.corruption import (
    EPISODES_HAVE_ALERTS,
    HISTORY_STORED,
    SCORES_CORRECT,
    STATES_EQUAL_REFOLD,
    STATES_PUBLISHED,
    Corruption,
    failed_checks_after,
)
from tests.unit.system.chaos.checker.recorded_requests import CLINIC_ID, RELATIONSHIP_ID
from tests.unit.system.chaos.checker.recorded_run import RecordedRun


def remove_stored_event(run: RecordedRun) -> None:
    run.databases["alliance"]["facts"].pop(run.find_event(SessionMissed).id)


def add_stored_event(run: RecordedRun) -> None:
    run.databases["alliance"]["facts"][CLINIC_ID] = dict(next(iter(run.databases["alliance"]["facts"].values())))


def change_stored_event(run: RecordedRun) -> None:
    first, second, *_ = run.databases["alliance"]["facts"].values()
    first["event"] = second["event"]


@pytest.mark.parametrize("corrupt", [remove_stored_event, add_stored_event, change_stored_event])
def test_an_event_that_alliance_does_not_store_exactly_once_is_detected(corrupt: Corruption) -> None:
    assert failed_checks_after(corrupt) == [HISTORY_STORED]


def change_state(run: RecordedRun) -> None:
    state = run.document("alliance", "alliances", RELATIONSHIP_ID)
    state["state"] = state["state"].replace('"missed":1', '"missed":0')


def remove_state(run: RecordedRun) -> None:
    run.databases["alliance"]["alliances"].pop(RELATIONSHIP_ID)


@pytest.mark.parametrize("corrupt", [change_state, remove_state])
def test_a_state_that_differs_from_the_refold_is_detected(corrupt: Corruption) -> None:
    assert STATES_EQUAL_REFOLD in failed_checks_after(corrupt)


@pytest.mark.parametrize(
    "changes", [{"sessions": 7}, {"missed": 2}, {"client_ratings": 8}, {"clinician_ratings": 7}, {"unanswered": 0}]
)
def test_a_count_that_differs_from_the_acknowledged_history_is_detected(changes: dict[str, int]) -> None:
    assert failed_checks_after(lambda run: run.alliances[RELATIONSHIP_ID].update(changes)) == [SCORES_CORRECT]


def test_a_score_that_differs_from_the_last_correction_is_detected() -> None:
    def change_rating_shown(run: RecordedRun) -> None:
        points = run.trajectories[RELATIONSHIP_ID]["points"]
        next(point for point in points if point["rating"] == 80)["rating"] = 90

    assert failed_checks_after(change_rating_shown) == [SCORES_CORRECT]


def test_a_relationship_that_alliance_does_not_know_is_detected() -> None:
    assert failed_checks_after(lambda run: run.alliances.update({RELATIONSHIP_ID: None})) == [SCORES_CORRECT]


def increment_version(run: RecordedRun) -> None:
    run.document("alliance", "alliances", RELATIONSHIP_ID)["v"] += 1


def decrement_version(run: RecordedRun) -> None:
    run.document("alliance", "alliances", RELATIONSHIP_ID)["v"] -= 1


def change_alliance_update(run: RecordedRun) -> None:
    run.replace_event(run.find_event(AllianceUpdated), sessions=1)


def remove_rupture_event(run: RecordedRun) -> None:
    run.remove(run.find_event(RuptureSuspected))


@pytest.mark.parametrize(
    "corrupt", [increment_version, decrement_version, change_alliance_update, remove_rupture_event]
)
def test_a_state_that_is_not_published_as_stored_is_detected(corrupt: Corruption) -> None:
    assert STATES_PUBLISHED in failed_checks_after(corrupt)


def test_an_open_episode_that_was_published_as_repaired_is_detected() -> None:
    def publish_repair(run: RecordedRun) -> None:
        fields = run.find_event(RuptureSuspected).model_dump(exclude={"id", "type"})
        run.publish(RuptureRepaired.model_validate({**fields, "id": CLINIC_ID, "version": fields["version"] + 1}))

    assert {STATES_PUBLISHED, EPISODES_HAVE_ALERTS} <= set(failed_checks_after(publish_repair))
