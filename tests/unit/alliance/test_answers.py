"""Which answers are scored and counted, and what remains of them after an erasure."""

from services.alliance.domain.state.alliance import Alliance
from tests.unit.alliance.rated_relationship import BUILDER, fold_events, rated_sessions


def test_a_form_that_lapsed_counts_although_its_session_is_not_known_yet() -> None:
    alliance = fold_events([*rated_sessions(9, 9, 9), BUILDER.lapsed(3)])

    assert (alliance.feedback_lapsed, alliance.sessions) == (1, 3)
    assert fold_events([*rated_sessions(9, 9, 9), BUILDER.completed(3), BUILDER.lapsed(3)]).feedback_lapsed == 1


def test_a_clinicians_answer_by_an_unknown_instrument_reports_a_tension_and_no_rating() -> None:
    """The clinician knows of the tension, so that it is remembered and opens no episode."""
    answer = BUILDER.instrument_total(3, "unheard-of", 12).model_copy(
        update={"rater": "clinician", "tension": "yes", "talked_about": "not"}
    )

    alliance = fold_events([*rated_sessions(9, 9, 9), BUILDER.completed(3), answer])

    assert (alliance.clinician.ratings, alliance.clinician.baseline_weight) == (0, 0)
    assert alliance.open_episode is None
    assert [sign.detector for sign in alliance.signs] == ["told_directly"]


def test_answers_without_consent_are_not_scored() -> None:
    events = [*rated_sessions(9, 9), BUILDER.consent_changed(1.5, given=False), *rated_sessions(1, first=2)]

    assert fold_events(events).client.ratings == 2


def test_an_unknown_instrument_gives_no_rating_and_no_error() -> None:
    alliance = fold_events([BUILDER.completed(0), BUILDER.instrument_total(0, "unheard-of", 12)])

    assert (alliance.client.ratings, alliance.feedback_received) == (0, 1)


def test_an_instrument_total_is_scaled_to_its_range() -> None:
    assert fold_events([BUILDER.completed(0), BUILDER.instrument_total(0, "srs", 36)]).client.rolling_score == 90


def test_an_answer_given_twice_counts_once() -> None:
    twice = BUILDER.feedback(0, 9).model_copy(update={"id": BUILDER.session_id(99)})

    assert fold_events([BUILDER.completed(0), BUILDER.feedback(0, 9), twice]).client.ratings == 1


def test_an_answer_replaces_the_lapse_of_the_same_form() -> None:
    """The answer was given in time and entered late, so the lapse published in between does not count."""
    alliance = fold_events(
        [*rated_sessions(9, 9, 9, 9), BUILDER.completed(4), BUILDER.feedback(4, 9), BUILDER.lapsed(4)]
    )

    assert alliance.feedback_lapsed == 0


def test_nothing_remains_of_an_erased_client_whenever_the_erasure_arrives() -> None:
    alliance = fold_events([*rated_sessions(*[9.0] * 3), BUILDER.erased(1.5), *rated_sessions(2, first=3)])

    assert alliance == Alliance(last_event_key=alliance.last_event_key, erasure_id=BUILDER.erased(1.5).id)
