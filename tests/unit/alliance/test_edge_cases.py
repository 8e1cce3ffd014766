"""Unusual relationships; docs/scoring.md describes the expected result of each case."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

import pytest

from services.alliance.domain.detection.baseline import expect_rating
from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.presentation.explanation import explain
from services.alliance.domain.presentation.summary import summarize
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HistoryEvent
from shared.events import Element, FeedbackSubmitted
from tests.bench.fold import state_after, state_size_bytes
from tests.support.builders import ELEMENTS, RelationshipBuilder

BUILDER = RelationshipBuilder()


def rated_sessions(*ratings: float, first: int = 0) -> list[HistoryEvent]:
    return [
        event
        for week, rating in enumerate(ratings, start=first)
        for event in (BUILDER.completed(week), BUILDER.feedback(week, rating))
    ]


def fold_events(events: Iterable[HistoryEvent]) -> Alliance:
    return fold([BUILDER.started(), BUILDER.consent_changed(-0.5, given=True), *events], DEFAULT_POLICY)


def instrument_session(week: int, name: str, total: float) -> list[HistoryEvent]:
    return [BUILDER.completed(week), BUILDER.instrument_total(week, name, total)]


def test_after_one_session_there_is_a_level_and_no_sign() -> None:
    """The band is wide, because it depends on the clinic's prior; no change can be detected yet."""
    alliance = fold_events(rated_sessions(5))
    summary = summarize(alliance, DEFAULT_POLICY)

    assert (summary.level, summary.trend, summary.standing) == (50, None, "calm")
    assert summary.high is not None
    assert summary.low is not None
    assert summary.high - summary.low > 10
    assert summary.trust.information == "some"
    assert alliance.open_episode is None


def test_with_only_the_clinicians_ratings_there_is_no_level_but_signs_are_detected() -> None:
    alliance = fold_events(
        event for week in range(8) for event in (BUILDER.completed(week), BUILDER.feedback(week, 8.5, "clinician"))
    )
    summary = summarize(alliance, DEFAULT_POLICY)

    assert (summary.level, summary.low, summary.difference, summary.trust.information) == (None, None, None, "none")
    assert explain(alliance, DEFAULT_POLICY) == "No rating by the client yet. No signs of rupture."
    worse = fold_events(
        event
        for week in range(10)
        for event in (
            BUILDER.completed(week),
            BUILDER.feedback(week, 8.5 if week < 8 else 5, "clinician"),
            BUILDER.lapsed(week),
        )
    )
    assert worse.open_episode is not None
    assert "clinician_drop" in {sign.detector for sign in worse.open_episode.evidence}


def test_with_only_missed_sessions_there_is_withdrawal_and_no_level() -> None:
    alliance = fold_events(BUILDER.missed(week) for week in range(4))
    summary = summarize(alliance, DEFAULT_POLICY)

    assert (summary.level, summary.engagement.attendance, summary.engagement.response) == (None, 0, None)
    assert alliance.open_episode is not None
    assert {sign.detector for sign in alliance.open_episode.evidence} == {"withdrawal"}
    assert "this appointment was missed, the 4th absence in a row" in explain(alliance, DEFAULT_POLICY)


@pytest.mark.parametrize("rating", [6.5, 8.0, 10.0])
def test_constant_ratings_are_no_sign_and_no_reassurance(rating: float) -> None:
    alliance = fold_events(rated_sessions(*[rating] * 30))

    assert (alliance.open_episode, alliance.last_repaired) == (None, None)
    assert summarize(alliance, DEFAULT_POLICY).trust.information == "little"
    assert summarize(alliance, DEFAULT_POLICY).level == 10 * rating


def test_a_relationship_rated_at_0_stays_within_the_scale() -> None:
    """It is at the floor, and stays of concern; apart from that, 0 is as usual here as 9 is elsewhere."""
    alliance = fold_events(rated_sessions(*[0.0] * 10))
    expected = expect_rating(alliance.client, DEFAULT_POLICY.prior.client)

    assert 0 <= expected.low <= expected.high <= 100
    assert alliance.open_episode is not None
    assert (alliance.open_episode.severity, alliance.open_episode.change_count) == ("concern", 0)
    assert {sign.detector for sign in alliance.open_episode.evidence} == {"at_floor"}


def test_after_three_years_the_baseline_is_less_certain() -> None:
    alliance = fold_events(rated_sessions(*[9.0] * 8))
    soon, late = (
        expect_rating(alliance.client, DEFAULT_POLICY.prior.client, BUILDER.at(weeks)) for weeks in (9, 9 + 156)
    )

    assert late.high - late.low > 1.3 * (soon.high - soon.low)
    assert fold_events([*rated_sessions(*[9.0] * 8), *rated_sessions(7.8, first=8 + 156)]).open_episode is None
    assert fold_events([*rated_sessions(*[9.0] * 8), *rated_sessions(7.8, first=8)]).open_episode is not None


def test_the_state_stays_small_after_two_thousand_sessions() -> None:
    alliance = state_after(2_000, BUILDER)

    assert alliance.sessions > 1_800
    assert state_size_bytes(alliance) < 8_000


def test_an_answer_by_an_unknown_instrument_counts_as_a_response_only() -> None:
    alliance = fold_events(
        [*rated_sessions(9, 9, 9), *instrument_session(3, "unheard-of", 1), *instrument_session(4, "unheard-of", 1)]
    )

    assert (alliance.client.ratings, alliance.feedback_received, alliance.open_episode) == (3, 5, None)
    assert summarize(alliance, DEFAULT_POLICY).engagement.response == 1


def test_a_form_of_elements_that_were_never_rated_before_can_be_folded() -> None:
    """None of them can have dropped, although rounding changes the probabilities a little."""

    def asked(week: int, rating: float, elements: Sequence[Element]) -> list[HistoryEvent]:
        answer = BUILDER.feedback(week, tension=None)
        return [BUILDER.completed(week), answer.model_copy(update={"ratings": dict.fromkeys(elements, rating)})]

    first, others = ELEMENTS[:3], ELEMENTS[3:7]
    events = [event for week in range(3) for event in asked(week, 9, first)]

    alliance = fold_events([*events, *asked(3, 7, first), *asked(4, 7, others), *asked(5, 7, others)])

    assert alliance.client.ratings == 6
    assert alliance.open_episode is not None
    assert "element_drop" not in {sign.detector for sign in alliance.open_episode.evidence}


def test_after_a_transfer_there_is_a_new_baseline() -> None:
    old_alliance = fold_events(rated_sessions(*[9.5] * 10))
    new_builder = RelationshipBuilder(first_session_at=BUILDER.at(11))
    events: list[HistoryEvent] = [
        new_builder.started().model_copy(update={"predecessor_id": BUILDER.relationship_id}),
        new_builder.consent_changed(-0.5, given=True),
        *(event for week in range(3) for event in (new_builder.completed(week), new_builder.feedback(week, 6.5))),
    ]
    alliance = fold(events, DEFAULT_POLICY)

    assert alliance.predecessor_id == BUILDER.relationship_id
    assert alliance.open_episode is None
    assert alliance.client.baseline_mean == pytest.approx(65)
    assert old_alliance.client.baseline_mean == pytest.approx(95)


def test_an_answer_without_a_known_session_counts() -> None:
    """The event that the session was held may arrive later, or never."""
    first = BUILDER.feedback(0, 9)
    alone: list[HistoryEvent] = [
        first,
        FeedbackSubmitted.model_validate({**first.model_dump(), "id": BUILDER.session_id(9)}),
    ]

    assert (fold_events(alone).client.ratings, fold_events(alone).sessions) == (1, 0)
    assert first.occurred_at - BUILDER.at(0) == timedelta(hours=2)
