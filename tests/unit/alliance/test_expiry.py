"""An episode expires: without a sign or a rating by the client for sixteen weeks, no answer may ever end it."""

from datetime import datetime, timedelta

import pytest

from services.alliance.domain.detection.episodes import EXPIRES_AFTER
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.presentation.summary import summarize
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HistoryEvent
from tests.unit.alliance.rated_relationship import BUILDER, fold_events, open_episode, rated_sessions

USUAL = rated_sessions(*[9.0] * 8)
DROPPED = [*USUAL, *rated_sessions(5, first=8)]
DROPPED_AT = BUILDER.feedback(8).occurred_at
NO_SIGNS: list[HistoryEvent] = [
    BUILDER.completed(40),
    BUILDER.missed(40).model_copy(update={"source_gap": True}),
    BUILDER.cancelled(40, notice_hours=72),
    BUILDER.lapsed(40).model_copy(update={"source_gap": True}),
]


def at(moment: datetime, event: HistoryEvent) -> HistoryEvent:
    return event.model_copy(update={"occurred_at": moment})


def has_expired(alliance: Alliance) -> bool:
    return alliance.last_ended is not None and alliance.last_ended.reason == "expired"


def expires_at(history: list[HistoryEvent], moment: datetime) -> bool:
    """Whether the open episode of the history expires at a session that is held then, and not a second before."""
    before, after = (
        fold_events([*history, at(moment - early, BUILDER.completed(60))])
        for early in (timedelta(seconds=1), timedelta(0))
    )
    return before.open_episode is not None and has_expired(after)


def test_an_episode_expires_sixteen_weeks_after_its_last_sign_and_not_before() -> None:
    """Also if sessions are held all the time."""
    silent = [BUILDER.completed(week) for week in range(9, 24)]

    assert timedelta(weeks=16) == EXPIRES_AFTER
    assert expires_at([*DROPPED, *silent], DROPPED_AT + EXPIRES_AFTER)


def test_an_episode_expires_sixteen_weeks_after_the_last_rating_if_that_is_later() -> None:
    """One usual rating is no repair: without a second one the episode would be open for ever."""
    answered = [*DROPPED, *rated_sessions(9, first=14)]

    assert expires_at(answered, BUILDER.feedback(14).occurred_at + EXPIRES_AFTER)


def test_a_rating_in_another_language_counts_as_the_last_one() -> None:
    answer = BUILDER.feedback(14).model_copy(update={"language": "tr"})

    assert expires_at([*DROPPED, BUILDER.completed(14), answer], answer.occurred_at + EXPIRES_AFTER)


def test_a_sign_that_is_no_answer_counts_too() -> None:
    """The client's last rating is the older one."""
    missed = BUILDER.missed(12)
    absent = [*DROPPED, missed]

    assert open_episode(absent).last_sign_at == missed.occurred_at
    assert expires_at(absent, missed.occurred_at + EXPIRES_AFTER)


@pytest.mark.parametrize("event", NO_SIGNS, ids=lambda event: str(event.event_type()))
def test_an_episode_expires_at_any_appointment_and_at_a_lapse(event: HistoryEvent) -> None:
    assert has_expired(fold_events([*DROPPED, event]))


def test_an_episode_does_not_expire_at_a_further_sign() -> None:
    assert open_episode([*DROPPED, BUILDER.missed(40)]).id == open_episode(DROPPED).id


def test_an_episode_does_not_expire_while_the_client_answers() -> None:
    """An answer at the floor is no new sign each time, and no repair."""
    low = [*USUAL, *rated_sessions(*[2.0] * 24, first=8)]

    assert fold_events(low).open_episode is not None


def test_the_standing_is_unknown_after_an_episode_has_expired_until_the_client_rates_again() -> None:
    expired = [*DROPPED, *rated_sessions(9, first=14), BUILDER.completed(40)]

    ended, again = fold_events(expired), fold_events([*expired, *rated_sessions(9, first=41)])

    assert ended.last_ended is not None
    assert (ended.last_ended.reason, ended.last_ended.episode.id) == ("expired", open_episode(DROPPED).id)
    assert [summarize(alliance, DEFAULT_POLICY).standing for alliance in (ended, again)] == ["unknown", "calm"]
