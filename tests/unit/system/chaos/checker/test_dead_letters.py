"""The checker detects dead letters that are not exactly the poison messages."""

import pytest

from shared.events.topics import ALLIANCE, INTAKE, dead_letter_topic
from tests.unit.system.chaos.checker.corruption import DEAD_LETTERS_CORRECT, Corruption, failed_checks_after
from tests.unit.system.chaos.checker.healthy_run import add_dead_letter
from tests.unit.system.chaos.checker.recorded_run import RecordedRun


def remove_dead_letter(run: RecordedRun) -> None:
    run.records[dead_letter_topic("alliance").name].pop()


def change_dead_letter(run: RecordedRun) -> None:
    run.records[dead_letter_topic("alliance").name][0].value = b"{}"


def remove_error_header(run: RecordedRun) -> None:
    dead_letter = run.records[dead_letter_topic("alliance").name][0]
    dead_letter.headers = [(name, value) for name, value in dead_letter.headers if name == "attune-origin"]


def add_needless_dead_letter(run: RecordedRun) -> None:
    add_dead_letter(run, "alliance", run.poison[0], f"{ALLIANCE.name}/0/0")


def remove_poison(run: RecordedRun) -> None:
    run.records[INTAKE.name] = [record for record in run.records[INTAKE.name] if record.value != b"{not json"]


@pytest.mark.parametrize(
    "corrupt", [remove_dead_letter, change_dead_letter, remove_error_header, add_needless_dead_letter, remove_poison]
)
def test_dead_letters_that_are_not_exactly_the_poison_messages_are_detected(corrupt: Corruption) -> None:
    assert DEAD_LETTERS_CORRECT in failed_checks_after(corrupt)


def test_a_duplicate_dead_letter_is_not_an_error() -> None:
    def duplicate(run: RecordedRun) -> None:
        dead_letter_records = run.records[dead_letter_topic("alliance").name]
        dead_letter_records.append(dead_letter_records[0])

    assert failed_checks_after(duplicate) == []
