"""Simulated relationships as the events that a clinic would have published."""

from itertools import pairwise

import numpy as np
import pytest

from evaluation.simulation.events import events_of
from evaluation.simulation.generator import generate_long, generate_ruptured
from evaluation.simulation.question import ask
from evaluation.simulation.settings import load_settings
from evaluation.simulation.truth import ABSENT, EXCUSED, HELD, INSTRUMENT, Relationships
from shared.events import (
    FeedbackLapsed,
    FeedbackSubmitted,
    RelationshipEnded,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
)

SETTINGS = load_settings()
TRIAL = ask(generate_ruptured(SETTINGS.world("gaussian").reported, 40, seed=1), SETTINGS.question, "candid", 1)
LONG = ask(
    generate_long(SETTINGS.world("ordinal").reported, SETTINGS.long, 60, 2, "mixed"), SETTINGS.question, "candid", 1
)


@pytest.mark.parametrize("relationships", [TRIAL, LONG], ids=["trial", "long"])
def test_every_event_is_valid_has_its_own_id_and_comes_in_order(relationships: Relationships) -> None:
    for row in range(len(relationships)):
        events = events_of(relationships, row)
        assert [type(event).model_validate_json(event.model_dump_json()) for event in events] == events
        assert len({event.id for event in events}) == len(events)
        assert all(first.occurred_at <= second.occurred_at for first, second in pairwise(events))


def test_the_same_relationship_gives_the_same_events() -> None:
    assert events_of(TRIAL, 3) == events_of(TRIAL, 3)
    assert {event.id for event in events_of(TRIAL, 3)}.isdisjoint(event.id for event in events_of(TRIAL, 4))


def test_each_appointment_and_each_form_has_its_event() -> None:
    observations = TRIAL.observations
    for row in range(len(TRIAL)):
        events = events_of(TRIAL, row)
        appointment, answered = observations.appointment[row], observations.answered[row]
        clinician_count = (~np.isnan(observations.clinician_total[row])).sum()
        expected = {
            SessionCompleted: (appointment == HELD).sum(),
            SessionMissed: (appointment == ABSENT).sum(),
            SessionCancelled: (appointment == EXCUSED).sum(),
            FeedbackSubmitted: answered.sum() + clinician_count,
            FeedbackLapsed: ((appointment == HELD) & ~answered).sum(),
        }
        assert {kind: sum(isinstance(event, kind) for event in events) for kind in expected} == expected


def test_an_answer_says_what_was_observed() -> None:
    row, observations = 0, TRIAL.observations
    answers = [
        event for event in events_of(TRIAL, row) if isinstance(event, FeedbackSubmitted) and event.rater == "client"
    ]
    elements, tension = (
        field[row][observations.answered[row]] for field in (observations.elements, observations.tension)
    )

    np.testing.assert_allclose([list(answer.ratings.values()) for answer in answers], elements / 10)
    assert [answer.tension for answer in answers] == [("none", "a_little", "yes")[value] for value in tension]


def test_after_a_transfer_the_client_has_a_second_relationship_with_the_first_as_predecessor() -> None:
    row = int(np.flatnonzero(LONG.truth.course.transfer_session >= 0)[0])
    events = events_of(LONG, row)
    first, second = [event for event in events if isinstance(event, RelationshipStarted)]
    (end,) = [event for event in events if isinstance(event, RelationshipEnded)]

    assert second.predecessor_id == first.relationship_id == end.relationship_id
    assert end.successor_id == second.relationship_id
    assert (first.client_id, first.predecessor_id) == (second.client_id, None)
    assert first.clinician_id != second.clinician_id


def test_a_new_instrument_is_published_as_its_total_alone() -> None:
    row = int(np.flatnonzero((LONG.observations.instrument == INSTRUMENT).any(axis=1))[0])
    last = [e for e in events_of(LONG, row) if isinstance(e, FeedbackSubmitted) and e.rater == "client"][-1]

    assert last.ratings == {}
    assert last.instrument is not None
    assert (last.instrument.name, 12 <= last.instrument.total <= 60) == ("wai-sr", True)


def test_the_events_of_a_break_leave_its_weeks_out() -> None:
    completed = [event.occurred_at for event in events_of(LONG, 0) if isinstance(event, SessionCompleted)]

    assert (completed[-1] - completed[0]).days // 7 > 100
