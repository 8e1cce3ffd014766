"""Relationships unlike most; docs/scoring.md says what is so in each case."""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from services.alliance.domain.detection.baseline import expect
from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT
from services.alliance.domain.presentation.explanation import explain
from services.alliance.domain.presentation.summary import summary
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import Fact
from shared.events import FeedbackSubmitted
from tests.bench.fold import size, state_after
from tests.support.builders import Told

TOLD = Told()


def rated(*ratings: float, first: int = 0) -> list[Fact]:
    return [
        event
        for week, rating in enumerate(ratings, start=first)
        for event in (TOLD.held(week), TOLD.felt(week, rating))
    ]


def after(facts: Iterable[Fact]) -> Alliance:
    return fold([TOLD.started(), TOLD.consent(-0.5, given=True), *facts], DEFAULT)


def measured(week: int, name: str, total: float) -> list[Fact]:
    return [TOLD.held(week), TOLD.measured(week, name, total)]


def test_after_one_session_there_is_a_level_and_no_sign() -> None:
    """The band is wide, for it rests on the clinic; nothing can be said to have changed."""
    alliance = after(rated(3))
    told = summary(alliance, DEFAULT)

    assert (told.level, told.trend, told.standing) == (30, None, "calm")
    assert told.high is not None
    assert told.low is not None
    assert told.high - told.low > 10
    assert told.trust.information == "some"
    assert alliance.open is None


def test_with_the_clinicians_ratings_only_there_is_no_level_but_signs_can_be_seen() -> None:
    alliance = after(event for week in range(8) for event in (TOLD.held(week), TOLD.felt(week, 8.5, "clinician")))
    told = summary(alliance, DEFAULT)

    assert (told.level, told.low, told.difference, told.trust.information) == (None, None, None, "none")
    assert explain(alliance, DEFAULT) == "No rating by the client yet. No signs of rupture."
    tense = after([TOLD.held(0), TOLD.felt(0, 8.5, "clinician", tension="yes", talked_about="not")])
    assert tense.open is not None


def test_with_missed_sessions_only_there_is_withdrawal_and_no_level() -> None:
    alliance = after(TOLD.missed(week) for week in range(3))
    told = summary(alliance, DEFAULT)

    assert (told.level, told.engagement.attendance, told.engagement.response) == (None, 0, None)
    assert alliance.open is not None
    assert explain(alliance, DEFAULT) == "Shows signs of rupture. Lately 3 sessions were missed."


@pytest.mark.parametrize("rating", [6.5, 8.0, 10.0])
def test_constant_ratings_are_no_sign_and_no_reassurance(rating: float) -> None:
    alliance = after(rated(*[rating] * 30))

    assert (alliance.open, alliance.closed) == (None, None)
    assert summary(alliance, DEFAULT).trust.information == "little"
    assert summary(alliance, DEFAULT).level == 10 * rating


def test_a_relationship_rated_at_0_stays_within_the_scale() -> None:
    """A level that is low for anybody is worth watching; beyond that, 0 is as usual here as 9 is elsewhere."""
    alliance = after(rated(*[0.0] * 10))
    expected = expect(alliance.client, DEFAULT.prior.client)

    assert 0 <= expected.low <= expected.high <= 100
    assert (alliance.open, alliance.closed is not None and alliance.closed.severity) == (None, "watch")


def test_after_three_years_what_was_usual_is_less_sure() -> None:
    alliance = after(rated(*[9.0] * 8))
    soon, late = (expect(alliance.client, DEFAULT.prior.client, TOLD.at(weeks)) for weeks in (9, 9 + 156))

    assert late.high - late.low > 1.3 * (soon.high - soon.low)
    assert after([*rated(*[9.0] * 8), *rated(7.8, first=8 + 156)]).open is None
    assert after([*rated(*[9.0] * 8), *rated(7.8, first=8)]).open is not None


def test_two_thousand_sessions_make_no_large_state() -> None:
    alliance = state_after(2_000, TOLD)

    assert alliance.sessions > 1_800
    assert size(alliance) < 8_000


def test_another_instrument_half_way_goes_on_with_the_same_baseline() -> None:
    """Totals are read within their range; what remains of a difference between two instruments is taken as a change."""
    alike = after([*rated(*[9.0] * 6), *(event for week in range(6, 12) for event in measured(week, "srs", 36))])
    lower = after([*rated(*[9.0] * 6), *(event for week in range(6, 12) for event in measured(week, "wai-12", 60))])

    assert (alike.client.ratings, alike.open) == (12, None)
    assert alike.levels["trust"] == 90  # as it was when it was last asked
    assert lower.open is not None or lower.closed is not None


def test_an_unknown_instrument_counts_as_an_answer_and_nothing_else() -> None:
    alliance = after([*rated(9, 9, 9), *measured(3, "unheard-of", 1), *measured(4, "unheard-of", 1)])

    assert (alliance.client.ratings, alliance.answered, alliance.open) == (3, 5, None)
    assert summary(alliance, DEFAULT).engagement.response == 1


def test_after_a_transfer_there_is_a_new_baseline() -> None:
    old_alliance = after(rated(*[9.5] * 10))
    new_builder = Told(beginning=TOLD.at(11))
    events: list[Fact] = [
        new_builder.started().model_copy(update={"predecessor_id": TOLD.relationship}),
        new_builder.consent(-0.5, given=True),
        *(event for week in range(3) for event in (new_builder.held(week), new_builder.felt(week, 6.5))),
    ]
    alliance = fold(events, DEFAULT)

    assert alliance.predecessor_id == TOLD.relationship
    assert (alliance.open, alliance.client.mean) == (None, 65)
    assert old_alliance.client.mean == 95


def test_an_answer_without_a_session_is_taken_as_it_is() -> None:
    """The news that the session was held may come later, or never."""
    first = TOLD.felt(0, 9)
    alone: list[Fact] = [first, FeedbackSubmitted.model_validate({**first.model_dump(), "id": TOLD.session(9)})]

    assert (after(alone).client.ratings, after(alone).sessions) == (1, 0)
    assert first.occurred_at - TOLD.at(0) == timedelta(hours=2)
