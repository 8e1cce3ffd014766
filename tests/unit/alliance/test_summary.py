"""What is told besides the score."""

from collections.abc import Iterable

import pytest

from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT
from services.alliance.domain.presentation.explanation import explain
from services.alliance.domain.presentation.summary import Summary, summary
from services.alliance.domain.state.history import Fact
from shared.events import Tension
from tests.support.builders import Told

TOLD = Told()
BEGUN: tuple[Fact, ...] = (TOLD.started(), TOLD.consent(-0.5, given=True))


def rated(*ratings: float, first: int = 0) -> list[Fact]:
    return [
        event
        for week, rating in enumerate(ratings, start=first)
        for event in (TOLD.held(week), TOLD.felt(week, rating))
    ]


def both(*pairs: tuple[float, float]) -> list[Fact]:
    return [
        event
        for week, (client, clinician) in enumerate(pairs)
        for event in (TOLD.held(week), TOLD.felt(week, client), TOLD.felt(week, clinician, "clinician"))
    ]


def told_of(facts: Iterable[Fact]) -> Summary:
    return summary(fold([*BEGUN, *facts], DEFAULT), DEFAULT)


def explained(facts: Iterable[Fact]) -> str:
    return explain(fold([*BEGUN, *facts], DEFAULT), DEFAULT)


def test_a_direction_is_told_only_when_it_is_sure() -> None:
    few, flat, down, up = rated(9, 8, 7), rated(9, 8, 9, 8, 9, 8), rated(9, 9, 8, 7, 6, 5), rated(4, 5, 6, 7, 8, 9)

    assert told_of(few).trend is None
    directions = [trend.direction for events in (flat, down, up) if (trend := told_of(events).trend)]
    assert directions == ["steady", "falling", "rising"]


def test_a_direction_is_about_the_last_ratings_only() -> None:
    trend = told_of(rated(2, 3, 4, 5, 6, *[9.0] * 6)).trend

    assert trend is not None
    assert (trend.direction, trend.slope, trend.ratings) == ("steady", 0, 6)


def test_client_and_clinician_are_compared_over_the_sessions_that_both_have_rated() -> None:
    assert told_of(rated(9, 9)).difference is None

    alike = told_of(both((9, 8), (8, 7), (9, 8), (7, 6), (8, 7), (9, 8))).difference
    opposed = told_of(both((9, 7), (8, 8), (9, 7), (7, 9), (8, 8), (9, 7))).difference

    assert alike is not None
    assert opposed is not None
    assert (alike.sessions, opposed.sessions) == (6, 6)
    assert [alike.now, alike.together, opposed.together] == pytest.approx([10, 1, -1])


def test_of_two_who_never_vary_it_is_not_said_that_they_move_together() -> None:
    difference = told_of(both(*[(9.3, 8.1)] * 12)).difference

    assert difference is not None
    assert difference.together is None


def test_engagement_is_measured_against_the_own_habit() -> None:
    engagement = told_of([*rated(*[9.0] * 8), TOLD.held(8), TOLD.lapsed(8), TOLD.missed(9)]).engagement

    assert (engagement.attendance, engagement.attendance_lately) == (0.9, 0.75)
    assert [engagement.response, engagement.response_lately] == pytest.approx([8 / 9, 2 / 3])


def test_a_late_answer_is_an_answer() -> None:
    late = TOLD.felt(1).model_copy(update={"occurred_at": TOLD.at(1.9)})

    assert told_of([*rated(9), TOLD.held(1), TOLD.lapsed(1), late]).engagement.response == 1


def test_what_was_called_off_in_time_is_no_absence() -> None:
    assert told_of([*rated(9), TOLD.cancelled(1, 90)]).engagement.attendance == 1


def test_ratings_that_never_vary_are_shown_to_say_little() -> None:
    constant = rated(*[10.0] * 8)

    assert told_of(constant).trust.information == "little"
    assert "always the highest" in (told_of(constant).trust.why or "")
    assert "calm says little" in explained(constant)
    assert told_of(rated(9, 8, 9, 8, 8, 9)).trust.information == "good"


def test_how_the_client_fares_is_shown_and_never_mixed_in() -> None:
    plain = rated(9, 8, 9, 8)
    with_outcome = [
        TOLD.faring(event, 10) if event.type == "clinic.feedback.submitted.v1" else event for event in plain
    ]

    plain_summary, outcome_summary = told_of(plain), told_of(with_outcome)

    assert outcome_summary.outcome is not None
    assert (outcome_summary.outcome.level, outcome_summary.outcome.ratings) == (25, 4)
    assert outcome_summary.model_copy(update={"outcome": None}) == plain_summary


@pytest.mark.parametrize(("name", "total"), [("unheard-of", 10), ("ors", 41), ("srs", 10)])
def test_an_outcome_that_cannot_be_read_is_no_outcome(name: str, total: float) -> None:
    assert told_of([TOLD.held(0), TOLD.faring(TOLD.felt(0), total, name)]).outcome is None


def test_an_outcome_is_no_rating_of_the_alliance() -> None:
    alliance = fold([*BEGUN, TOLD.held(0), TOLD.measured(0, "ors", 30)], DEFAULT)

    assert (alliance.client.ratings, alliance.answered) == (0, 1)


def test_it_is_told_since_when_it_has_been_so() -> None:
    ruptured = [*rated(*[9.0] * 8), *rated(5, first=8)]
    repaired = [*ruptured, *rated(9, 9, first=9)]

    assert told_of([]).standing == "unknown"
    assert [(s.standing, s.since) for s in (told_of(rated(9, 9)), told_of(repaired))] == [
        ("calm", TOLD.felt(0).occurred_at),
        ("calm", TOLD.felt(10).occurred_at),
    ]
    assert (told_of(ruptured).standing, told_of(ruptured).since) == ("concern", TOLD.felt(8).occurred_at)
    assert told_of([*ruptured, TOLD.ended(20)]).standing == "ended"
    assert told_of([*rated(9), TOLD.consent(2.5, given=False)]).standing == "unwatched"


def test_an_explanation_names_the_session_and_what_is_usual_here() -> None:
    explanation = explained([*rated(*[9.0] * 8), TOLD.held(8), TOLD.felt(8, 9, trust=3)])

    assert explanation == (
        "Shows signs of rupture. Trust fell to 30 after session 9 (usually 85 to 95 here), while the rest stayed at 90."
    )


def test_an_explanation_says_of_silence_which_session_it_was_about() -> None:
    explanation = explained([*rated(*[9.0] * 8), *rated(4, first=8), TOLD.held(9), TOLD.lapsed(9)])

    assert "fell to 40 after session 9" in explanation
    assert "No feedback came for session 10." in explanation


def test_an_explanation_says_when_it_is_getting_better() -> None:
    assert "within what is usual here again" in explained([*rated(*[9.0] * 8), *rated(5, 9, first=8)])


@pytest.mark.parametrize("other", ["none", "yes", None])
def test_what_the_other_said_of_a_tension_is_told_with_it(other: Tension | None) -> None:
    alliance = fold(
        [
            *BEGUN,
            *rated(9, 9, 9),
            TOLD.held(3),
            TOLD.felt(3, 9, "clinician", tension=other, talked_about="not" if other == "yes" else None),
            TOLD.felt(3, 9, tension="yes", talked_about="not"),
        ],
        DEFAULT,
    )

    assert alliance.open is not None
    client_numbers = [sign.numbers for sign in alliance.open.evidence if sign.numbers.get("by_client") == 1]
    assert [numbers.get("other") for numbers in client_numbers] == [{"none": 0, "yes": 1, None: None}[other]]
