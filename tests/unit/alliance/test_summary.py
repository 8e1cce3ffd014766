"""The summary and the explanation of an alliance."""

import re
from collections.abc import Iterable

import pytest

from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.presentation.explanation import explain
from services.alliance.domain.presentation.summary import Summary, summarize
from services.alliance.domain.state.history import HistoryEvent
from shared.events import Tension
from tests.support.builders import RelationshipBuilder

BUILDER = RelationshipBuilder()
START_EVENTS: tuple[HistoryEvent, ...] = (BUILDER.started(), BUILDER.consent_changed(-0.5, given=True))


def rated_sessions(*ratings: float, first: int = 0) -> list[HistoryEvent]:
    return [
        event
        for week, rating in enumerate(ratings, start=first)
        for event in (BUILDER.completed(week), BUILDER.feedback(week, rating))
    ]


def rated_by_both(*pairs: tuple[float, float]) -> list[HistoryEvent]:
    return [
        event
        for week, (client, clinician) in enumerate(pairs)
        for event in (
            BUILDER.completed(week),
            BUILDER.feedback(week, client),
            BUILDER.feedback(week, clinician, "clinician"),
        )
    ]


def summarize_events(events: Iterable[HistoryEvent]) -> Summary:
    return summarize(fold([*START_EVENTS, *events], DEFAULT_POLICY), DEFAULT_POLICY)


def explain_events(events: Iterable[HistoryEvent]) -> str:
    return explain(fold([*START_EVENTS, *events], DEFAULT_POLICY), DEFAULT_POLICY)


def test_a_trend_has_a_direction_only_if_it_is_certain() -> None:
    few, flat, down, up = (
        rated_sessions(9, 8, 7),
        rated_sessions(9, 8, 9, 8, 9, 8),
        rated_sessions(9, 9, 8, 7, 6, 5),
        rated_sessions(4, 5, 6, 7, 8, 9),
    )

    assert summarize_events(few).trend is None
    directions = [trend.direction for events in (flat, down, up) if (trend := summarize_events(events).trend)]
    assert directions == ["steady", "falling", "rising"]


def test_a_trend_covers_only_the_last_ratings() -> None:
    trend = summarize_events(rated_sessions(2, 3, 4, 5, 6, *[9.0] * 6)).trend

    assert trend is not None
    assert (trend.direction, trend.slope, trend.ratings) == ("steady", 0, 6)


def test_client_and_clinician_are_compared_over_the_sessions_that_both_rated() -> None:
    assert summarize_events(rated_sessions(9, 9)).difference is None

    alike = summarize_events(rated_by_both((9, 8), (8, 7), (9, 8), (7, 6), (8, 7), (9, 8))).difference
    opposed = summarize_events(rated_by_both((9, 7), (8, 8), (9, 7), (7, 9), (8, 8), (9, 7))).difference

    assert alike is not None
    assert opposed is not None
    assert (alike.sessions, opposed.sessions) == (6, 6)
    assert [alike.now, alike.together, opposed.together] == pytest.approx([10, 1, -1])
    assert [alike.usual, opposed.usual] == pytest.approx([10, (20 + 0 + 20 - 20 + 0 + 20) / 6])


def test_the_correlation_stays_within_its_range_whatever_is_rounded() -> None:
    opposed = summarize_events(rated_by_both(*[(rating, 10 - rating) for rating in (1, 1, 1, 7, 5, 4, 6)])).difference
    few = summarize_events(rated_by_both((9, 8), (8, 7), (9, 8), (7, 6), (8, 7))).difference

    assert opposed is not None
    assert few is not None
    assert (opposed.together, few.together) == (-1, None)


def test_the_usual_difference_is_that_outside_episodes_of_concern() -> None:
    difference = summarize_events(rated_by_both(*[(9, 8.5)] * 6, (2, 4))).difference

    assert difference is not None
    assert (difference.sessions, difference.usual) == (7, 5)
    assert difference.now == pytest.approx(5 + 0.4 * (-20 - 5))


def test_ratings_that_never_vary_have_no_correlation() -> None:
    difference = summarize_events(rated_by_both(*[(9.3, 8.1)] * 12)).difference

    assert difference is not None
    assert difference.together is None


def test_engagement_is_reported_overall_and_for_the_last_appointments() -> None:
    engagement = summarize_events(
        [*rated_sessions(*[9.0] * 8), BUILDER.completed(8), BUILDER.lapsed(8), BUILDER.missed(9)]
    ).engagement

    assert (engagement.attendance, engagement.attendance_lately) == (0.9, 0.75)
    assert [engagement.response, engagement.response_lately] == pytest.approx([8 / 9, 2 / 3])


def test_a_late_answer_counts_as_a_response() -> None:
    late = BUILDER.feedback(1).model_copy(update={"occurred_at": BUILDER.at(1.9)})

    assert (
        summarize_events([*rated_sessions(9), BUILDER.completed(1), BUILDER.lapsed(1), late]).engagement.response == 1
    )


def test_a_cancellation_in_time_is_no_absence() -> None:
    assert summarize_events([*rated_sessions(9), BUILDER.cancelled(1, 90)]).engagement.attendance == 1


def test_ratings_that_never_vary_are_reported_as_little_information() -> None:
    constant = rated_sessions(*[10.0] * 8)

    assert summarize_events(constant).trust.information == "little"
    assert "always the highest" in (summarize_events(constant).trust.why or "")
    assert "calm says little" in explain_events(constant)
    assert summarize_events(rated_sessions(9, 8, 9, 8, 8, 9)).trust.information == "good"


def test_ratings_at_the_top_of_the_scale_are_reported_as_some_information() -> None:
    """They can get worse visibly, and not better."""
    trust = summarize_events(rated_sessions(9, 9.9, 10, 10, 10, 10, 10)).trust

    assert (trust.information, "top of the scale" in (trust.why or "")) == ("some", True)
    assert summarize_events(rated_sessions(9, 9.8, 10, 10, 10, 10, 10)).trust.information == "good"
    assert summarize_events(rated_sessions(9.9, 10, 10, 10, 10)).trust.information == "good"


def test_a_few_ratings_are_reported_as_some_information() -> None:
    assert summarize_events(rated_sessions(9, 8, 9)).trust.information == "some"
    assert summarize_events(rated_sessions(9, 8, 9, 8)).trust.information == "good"


def test_the_outcome_is_reported_and_changes_nothing_else() -> None:
    plain = rated_sessions(9, 8, 9, 8)
    with_outcome = [
        BUILDER.with_outcome(event, 10) if event.type == "clinic.feedback.submitted.v1" else event for event in plain
    ]

    plain_summary, outcome_summary = summarize_events(plain), summarize_events(with_outcome)

    assert outcome_summary.outcome is not None
    assert (outcome_summary.outcome.level, outcome_summary.outcome.ratings) == (25, 4)
    assert outcome_summary.model_copy(update={"outcome": None}) == plain_summary


@pytest.mark.parametrize(("name", "total"), [("unheard-of", 10), ("ors", 41), ("srs", 10)])
def test_an_outcome_that_cannot_be_read_is_ignored(name: str, total: float) -> None:
    assert (
        summarize_events([BUILDER.completed(0), BUILDER.with_outcome(BUILDER.feedback(0), total, name)]).outcome is None
    )


def test_an_outcome_total_is_no_rating_of_the_alliance() -> None:
    alliance = fold([*START_EVENTS, BUILDER.completed(0), BUILDER.instrument_total(0, "ors", 30)], DEFAULT_POLICY)

    assert (alliance.client.ratings, alliance.feedback_received) == (0, 1)


def test_a_standing_has_the_date_on_which_it_began() -> None:
    ruptured = [*rated_sessions(*[9.0] * 8), *rated_sessions(5, first=8)]
    repaired = [*ruptured, *rated_sessions(9, 9, first=9)]

    assert summarize_events([]).standing == "unknown"
    assert [
        (summary.standing, summary.since)
        for summary in (summarize_events(rated_sessions(9, 9)), summarize_events(repaired))
    ] == [
        ("calm", BUILDER.feedback(0).occurred_at),
        ("calm", BUILDER.feedback(10).occurred_at),
    ]
    assert (summarize_events(ruptured).standing, summarize_events(ruptured).since) == (
        "concern",
        BUILDER.feedback(8).occurred_at,
    )
    assert summarize_events([*ruptured, BUILDER.ended(20)]).standing == "ended"
    assert summarize_events([*rated_sessions(9), BUILDER.consent_changed(2.5, given=False)]).standing == "unwatched"


def test_an_explanation_names_the_session_and_what_is_usual_here() -> None:
    fallen = [event for week in (8, 9) for event in (BUILDER.completed(week), BUILDER.feedback(week, 9, trust=6))]
    explanation = explain_events([*rated_sessions(*[9.0] * 8), *fallen])

    assert "after session 10: trust fell to 6 of 10" in explanation
    assert "the others averaged 9" in explanation


def test_a_relationship_without_signs_is_explained_by_its_level_and_what_is_usual() -> None:
    explanation = explain_events(rated_sessions(9, 8, 9, 8, 9, 8))

    assert re.fullmatch(
        r"Now at 8\.\d of 10, usually 7\.\d to 9\.\d with this client\. No signs of rupture\.", explanation
    )
    assert "from few ratings here and this clinic's. No signs" in explain_events(rated_sessions(9, 8, 9))


def test_a_relationship_that_is_not_watched_or_has_ended_is_explained_as_such() -> None:
    assert explain_events([*rated_sessions(9), BUILDER.consent_changed(2.5, given=False)]) == (
        "Not watched: the client's consent is not in force."
    )
    assert explain_events([*rated_sessions(9), BUILDER.ended(3)]) == "This relationship has ended."


def test_an_explanation_names_the_session_of_an_unanswered_form() -> None:
    explanation = explain_events(
        [*rated_sessions(*[9.0] * 8), *rated_sessions(4, first=8), BUILDER.completed(9), BUILDER.lapsed(9)]
    )

    assert "after session 9: the client's rating fell to 4 of 10" in explanation
    assert "after session 10: no answer from the client" in explanation


def test_an_explanation_reports_a_recovery() -> None:
    assert "within what is usual with this client again" in explain_events(
        [*rated_sessions(*[9.0] * 8), *rated_sessions(5, 9, first=8)]
    )


@pytest.mark.parametrize("other", ["none", "yes", None])
def test_a_reported_tension_includes_the_other_raters_answer(other: Tension | None) -> None:
    alliance = fold(
        [
            *START_EVENTS,
            *rated_sessions(9, 9, 9),
            BUILDER.completed(3),
            BUILDER.feedback(3, 9, "clinician", tension=other, talked_about="not" if other == "yes" else None),
            BUILDER.feedback(3, 9, tension="yes", talked_about="not"),
        ],
        DEFAULT_POLICY,
    )

    assert alliance.open_episode is not None
    client_numbers = [sign.numbers for sign in alliance.open_episode.evidence if sign.numbers.get("by_client") == 1]
    assert [numbers.get("other") for numbers in client_numbers] == [{"none": 0, "yes": 1, None: None}[other]]
