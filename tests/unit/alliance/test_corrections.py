"""What was noted by mistake is corrected: the outcome of a session, and the end of the relationship."""

from datetime import timedelta

import pytest

from services.alliance.domain.fold import fold, refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.state.history import HistoryEvent, apply_corrections
from shared.events import FeedbackSubmitted
from tests.unit.alliance.rated_relationship import BUILDER, START_EVENTS, detected_signs, fold_events, rated_sessions

GOOD = rated_sessions(9, 9, 9, 9)
MISTAKES: list[HistoryEvent] = [BUILDER.missed(week) for week in range(5, 8)]
RIGHT_OUTCOMES: list[HistoryEvent] = [
    BUILDER.completed(7),
    BUILDER.cancelled(7, notice_hours=90),
    BUILDER.reinstated(7),
]


@pytest.mark.parametrize("right", RIGHT_OUTCOMES, ids=lambda event: type(event).__name__)
def test_a_no_show_noted_by_mistake_is_no_sign_once_it_is_corrected(right: HistoryEvent) -> None:
    assert detected_signs([*GOOD, *MISTAKES]) == {"withdrawal"}
    corrected = right.model_copy(update={"correction": 1, "recorded_at": BUILDER.at(7.5)})

    result = refold([*START_EVENTS, *GOOD, *MISTAKES, corrected], DEFAULT_POLICY)

    assert result.alliance.open_episode is None
    assert (result.alliance.missed, result.alliance.absences) == (2, 2)
    assert result.last_retraction is not None
    assert (result.last_retraction.reason, result.last_retraction.at) == ("amended", BUILDER.at(7.5))


def test_a_corrected_outcome_counts_as_if_it_had_been_noted_at_first() -> None:
    corrected = BUILDER.corrected(BUILDER.completed(4), 1, 5.5)

    alliance, right = fold_events([*GOOD, BUILDER.missed(4), corrected]), fold_events([*GOOD, BUILDER.completed(4)])

    assert (alliance.sessions, alliance.missed, alliance.components) == (right.sessions, 0, right.components)


def test_what_occurred_before_a_correction_and_arrives_after_it_is_refolded() -> None:
    """It may have been a sign before the correction, which only a fold of the history as it was known then can find."""
    correction = BUILDER.corrected(BUILDER.missed(4), 1, 9)
    later: list[HistoryEvent] = [BUILDER.completed(5), BUILDER.feedback(5, 2)]
    alliance = fold_events([*GOOD, BUILDER.completed(4), correction])

    assert not any(alliance.precedes(event) for event in later)
    assert alliance.precedes(BUILDER.completed(10))


def test_the_length_of_a_session_can_be_corrected() -> None:
    short = BUILDER.completed(4, minutes=10)

    alliance = fold_events([*GOOD, short, BUILDER.corrected(BUILDER.completed(4), 1, 5)])

    assert (alliance.sessions, alliance.sessions_cut_short) == (5, 0)


def test_an_amendment_that_does_not_say_its_language_is_in_that_of_the_answer() -> None:
    answer = BUILDER.feedback(4).model_copy(update={"language": "de"})
    silent, english = BUILDER.amended(4, 7), BUILDER.amended(4, 7, 2).model_copy(update={"language": "en"})

    languages = [
        event.language
        for amendments in ([], [silent], [silent, english])
        for event in apply_corrections([answer, *amendments])
        if isinstance(event, FeedbackSubmitted)
    ]

    assert languages == ["de", "de", "en"]


def test_of_several_corrections_the_highest_counts_in_any_order() -> None:
    first = BUILDER.corrected(BUILDER.completed(4), 1, 5)
    second = BUILDER.corrected(BUILDER.missed(4), 2, 6)

    assert fold_events([*GOOD, BUILDER.missed(4), second, first]).missed == 1
    assert fold_events([second, first, *GOOD]).missed == 1


def test_an_episode_that_opens_after_the_correction_is_not_retracted() -> None:
    """It was never published: only what existed when the correction was recorded can be retracted."""
    corrected = BUILDER.corrected(BUILDER.completed(6), 1, 6.5)

    result = refold([*START_EVENTS, *GOOD, *MISTAKES, corrected], DEFAULT_POLICY)

    assert (result.alliance.open_episode, result.last_retraction) == (None, None)


def test_a_form_that_lapsed_after_a_session_that_was_not_held_is_no_sign() -> None:
    corrected = BUILDER.corrected(BUILDER.cancelled(4, 90), 1, 6)

    alliance = fold_events([*GOOD, BUILDER.completed(4), BUILDER.lapsed(4), corrected])

    assert (alliance.feedback_lapsed, alliance.components) == (0, fold_events(GOOD).components)


def test_a_form_that_lapsed_before_the_session_was_taken_back_is_no_sign() -> None:
    lapsed = [*GOOD, BUILDER.completed(4), BUILDER.lapsed(4)]
    reinstated = BUILDER.corrected(BUILDER.reinstated(4), 1, 5)

    alliance, without = fold_events([*lapsed, reinstated]), fold_events(GOOD)

    assert fold_events(lapsed).feedback_lapsed == 1
    assert (alliance.feedback_lapsed, alliance.components) == (0, without.components)


def test_a_form_that_lapsed_after_the_session_was_held_at_last_counts() -> None:
    lapsed = [*GOOD, BUILDER.completed(4), BUILDER.lapsed(4), BUILDER.corrected(BUILDER.reinstated(4), 1, 5)]
    held = BUILDER.corrected(BUILDER.completed(4), 1, 5.1)
    answer = BUILDER.feedback(4).model_copy(update={"occurred_at": BUILDER.at(5.2)})

    answered = fold_events([*lapsed, held, answer])
    lapsed_again = fold_events([*lapsed, held, BUILDER.corrected(BUILDER.lapsed(4), 1)])

    assert (answered.feedback_lapsed, answered.feedback_late) == (0, 0)
    assert lapsed_again.feedback_lapsed == 1


def test_a_relationship_that_ended_by_mistake_goes_on_with_its_open_episode() -> None:
    events = [*GOOD, *MISTAKES, BUILDER.ended(7.2, "stopped_by_client")]
    assert fold_events(events).open_episode is None

    alliance = fold_events([*events, BUILDER.reopened(7.5)])

    assert (alliance.ended_at, alliance.last_retraction) == (None, None)
    assert alliance.open_episode is not None


def test_a_corrected_end_replaces_the_first_one_and_its_reason() -> None:
    events = [*GOOD, *MISTAKES, BUILDER.ended(7.2, "stopped_by_client")]
    corrected = BUILDER.corrected(BUILDER.ended(7.3, "completed"), 1, 8)

    alliance = fold_events([*events, corrected])

    assert alliance.ended_at == BUILDER.at(7.3)
    assert alliance.last_retraction is not None
    assert alliance.last_retraction.end_reason == "completed"
    assert alliance != fold([*START_EVENTS, *events], DEFAULT_POLICY), "another version, or nobody would hear of it"


def test_a_corrected_reason_alone_gives_another_version() -> None:
    events = [*GOOD, *MISTAKES, BUILDER.ended(7.2, "stopped_by_client")]
    first = BUILDER.corrected(BUILDER.ended(7.2, "completed"), 1, 8)
    second = BUILDER.corrected(BUILDER.ended(7.2, "other"), 2, 8).model_copy(
        update={"occurred_at": first.occurred_at - timedelta(0)}
    )

    assert fold_events([*events, first]) != fold_events([*events, first, second])
