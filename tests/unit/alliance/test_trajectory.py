"""The course of an alliance: one point for each answer, absence and unanswered form."""

import pytest

from services.alliance.domain.detection.baseline import expect_rating
from services.alliance.domain.fold import fold, fold_steps
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.presentation.trajectory import Point, point_for, trajectory_page
from services.alliance.domain.state.history import HistoryEvent
from tests.support.builders import RelationshipBuilder

BUILDER = RelationshipBuilder()
START_EVENTS: list[HistoryEvent] = [BUILDER.started(), BUILDER.consent_changed(-0.5, given=True)]


def trajectory(*events: HistoryEvent) -> list[Point]:
    steps = fold_steps([*START_EVENTS, *events], DEFAULT_POLICY)
    points = (point_for(event, before, DEFAULT_POLICY) for event, before, _ in steps)
    return [point for point in points if point is not None]


def test_a_session_that_was_not_held_and_a_form_that_was_not_answered_are_points() -> None:
    missed, cancelled, lapsed = BUILDER.missed(1), BUILDER.cancelled(2, 3), BUILDER.lapsed(0)
    clinicians_lapse = BUILDER.lapsed(3).model_copy(update={"rater": "clinician"})

    points = trajectory(BUILDER.completed(0), lapsed, missed, cancelled, BUILDER.completed(3), clinicians_lapse)

    assert points == [
        Point(at=event.occurred_at, what=what, session_id=event.session_id)
        for event, what in ((lapsed, "unanswered"), (missed, "missed"), (cancelled, "cancelled"))
    ]


@pytest.mark.parametrize("rater", ["client", "clinician"])
def test_a_rating_is_shown_with_the_range_that_was_expected_of_its_rater(rater: str) -> None:
    earlier: list[HistoryEvent] = [
        event for week in range(4) for event in (BUILDER.feedback(week, 9), BUILDER.feedback(week, 7, "clinician"))
    ]
    answer = BUILDER.feedback(4, 5, "client" if rater == "client" else "clinician")
    alliance, prior = fold([*START_EVENTS, *earlier], DEFAULT_POLICY), DEFAULT_POLICY.prior
    expected = (
        expect_rating(alliance.client, prior.client, answer.occurred_at)
        if rater == "client"
        else expect_rating(alliance.clinician, prior.clinician, answer.occurred_at)
    )

    point = trajectory(*earlier, answer)[-1]

    assert (point.what, point.rating, point.outcome) == (f"{rater}_rating", 50, None)
    assert (point.low, point.high) == (expected.low, expected.high)
    assert (point.at, point.session_id) == (answer.occurred_at, answer.session_id)


def test_an_answer_by_an_unknown_instrument_is_a_point_without_a_rating() -> None:
    (point,) = trajectory(BUILDER.completed(0), BUILDER.instrument_total(0, "unheard-of", 12))

    assert (point.what, point.rating) == ("client_rating", None)


def test_a_page_is_not_computed_further_once_nobody_waits_for_it() -> None:
    answers = [BUILDER.feedback(week) for week in range(9)]
    questions = iter([False] * 3 + [True])

    page = trajectory_page(answers, DEFAULT_POLICY, 1, lambda: next(questions))

    assert (len(page.points), page.has_next) == (3, False)
