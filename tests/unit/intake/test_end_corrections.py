"""Ends that were recorded by mistake, and the corrections that are rejected."""

from uuid import uuid4

import pytest

from services.intake.domain.end_corrections import MAX_END_CORRECTIONS, correct_end
from services.intake.domain.relationship import End, EndCorrection, Relationship
from services.intake.domain.relationships import end_for_transfer, end_relationship
from shared.errors import Rejected
from shared.events import RelationshipEnded, RelationshipReopened
from tests.support.intake_builders import DAY, NOW, STARTED, make_clinician, make_relationship

ENDED = End(reason="stopped_by_client", at=STARTED + 40 * DAY)
RIGHT = End(reason="completed", at=STARTED + 41 * DAY)


def ended_relationship() -> Relationship:
    return end_relationship(make_relationship(), ENDED, NOW)[0]


def correction(end: End | None) -> EndCorrection:
    return EndCorrection(correction_id=uuid4(), end=end)


def test_an_end_recorded_by_mistake_is_taken_back() -> None:
    relationship, (reopened,) = correct_end(ended_relationship(), correction(None), NOW)

    assert isinstance(reopened, RelationshipReopened)
    assert (reopened.correction, relationship.end) == (1, None)


def test_a_wrong_end_is_replaced_and_each_end_has_an_id_of_its_own() -> None:
    first = end_relationship(make_relationship(), ENDED, NOW)[1]
    relationship, second = correct_end(ended_relationship(), correction(RIGHT), NOW)
    reopened, _ = correct_end(relationship, correction(None), NOW)
    _, third = end_relationship(reopened, ENDED, NOW)

    ends = [event for event in (*first, *second, *third) if isinstance(event, RelationshipEnded)]
    assert [(end.reason, end.correction) for end in ends] == [
        ("stopped_by_client", 0),
        ("completed", 1),
        ("stopped_by_client", 2),
    ]
    assert len({end.id for end in ends}) == 3


def test_a_repeated_correction_changes_nothing_even_if_more_has_happened_since() -> None:
    first = correction(RIGHT)
    relationship, _ = correct_end(ended_relationship(), first, NOW)
    relationship, _ = correct_end(relationship, correction(None), NOW)

    assert correct_end(relationship, first, NOW) == (relationship, ())
    with pytest.raises(Rejected, match="choose a new id"):
        correct_end(relationship, first.model_copy(update={"end": None}), NOW)


def test_a_correction_that_changed_nothing_does_not_undo_a_later_one_when_it_is_repeated() -> None:
    first = correction(ENDED)
    relationship, _ = correct_end(ended_relationship(), first, NOW)
    relationship, _ = correct_end(relationship, correction(RIGHT), NOW)

    assert correct_end(relationship, first, NOW) == (relationship, ())


def test_what_is_right_already_needs_no_correction() -> None:
    relationship = ended_relationship()

    after, events = correct_end(relationship, correction(ENDED), NOW)

    assert (after.end, events) == (ENDED, ())
    with pytest.raises(Rejected, match="/end") as rejected:
        correct_end(make_relationship(), correction(None), NOW)
    assert rejected.value.code == "nothing-to-correct"


def test_a_relationship_is_not_reopened_next_to_another_of_the_same_people() -> None:
    with pytest.raises(Rejected, match="already work together") as rejected:
        correct_end(ended_relationship(), correction(None), NOW, [make_relationship()])
    assert rejected.value.code == "already-together"


def test_a_transfer_is_not_taken_back_but_made_again() -> None:
    successor_id = uuid4()
    transferred, _ = end_for_transfer(make_relationship(), successor_id, make_clinician(), RIGHT.at, NOW)

    with pytest.raises(Rejected, match=f"POST /relationships/{successor_id}/transfer") as rejected:
        correct_end(transferred, correction(None), NOW)
    assert rejected.value.code == "relationship-transferred"


def test_an_end_is_corrected_a_limited_number_of_times() -> None:
    relationship = ended_relationship()
    for number in range(MAX_END_CORRECTIONS):
        relationship, _ = correct_end(relationship, correction((RIGHT, ENDED)[number % 2]), NOW)

    with pytest.raises(Rejected, match="10 times") as rejected:
        correct_end(relationship, correction(None), NOW)
    assert rejected.value.code == "corrected-too-often"


def test_a_refused_change_after_the_end_names_the_route_that_corrects_it() -> None:
    relationship = ended_relationship()

    with pytest.raises(Rejected, match=f"PUT /relationships/{relationship.relationship_id}/end/corrections/"):
        end_relationship(relationship, RIGHT, NOW)
