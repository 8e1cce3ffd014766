"""What happens while the client's consent is not in force does not count, not even after it is given again."""

import pytest

from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.presentation.summary import summarize
from services.alliance.domain.state.history import HistoryEvent
from tests.unit.alliance.rated_relationship import BUILDER, detected_signs, fold_events, rated_sessions

WITHDRAWN, GIVEN_AGAIN = BUILDER.consent_changed(3.5, given=False), BUILDER.consent_changed(7.5, given=True)
ABSENCES: dict[str, list[HistoryEvent]] = {
    "missed": [BUILDER.missed(week) for week in range(4, 8)],
    "cancelled late": [BUILDER.cancelled(week) for week in range(4, 8)],
    "cut short": [BUILDER.completed(week, minutes=10) for week in range(6, 8)],
}


@pytest.mark.parametrize("kind", ABSENCES)
def test_absence_without_consent_is_no_sign_after_consent_is_given_again(kind: str) -> None:
    events = [*rated_sessions(9, 9, 9, 9), WITHDRAWN, *ABSENCES[kind], GIVEN_AGAIN, BUILDER.missed(8)]

    assert detected_signs(events) == set()


def test_absence_before_the_first_consent_is_no_sign_afterwards() -> None:
    events = [*(BUILDER.missed(week) for week in range(-5, -1)), BUILDER.missed(0)]

    assert detected_signs(events) == set()
    assert fold_events(events).absences == 1


def test_only_absence_with_consent_is_counted_and_named() -> None:
    events = [*rated_sessions(9, 9, 9, 9), WITHDRAWN, *ABSENCES["missed"], GIVEN_AGAIN]
    alliance = fold_events([*events, *(BUILDER.missed(week) for week in range(8, 12))])

    assert alliance.open_episode is not None
    assert max(sign.numbers["missed"] for sign in alliance.open_episode.evidence) == 4
    assert (alliance.missed, alliance.absences) == (4, 4)
    assert summarize(alliance, DEFAULT_POLICY).engagement.attendance == 4 / 8


def test_sessions_held_without_consent_neither_excuse_nor_weigh_on_later_absence() -> None:
    """What is usual in attendance is learnt only with consent; the sessions themselves were held, and are numbered."""
    held = [BUILDER.completed(week) for week in range(4, 8)]
    without_consent = fold_events([*rated_sessions(9, 9, 9, 9), WITHDRAWN, *held, GIVEN_AGAIN, BUILDER.missed(8)])
    without_sessions = fold_events([*rated_sessions(9, 9, 9, 9), WITHDRAWN, GIVEN_AGAIN, BUILDER.missed(8)])

    assert without_consent.sessions == 8
    assert without_consent.components == without_sessions.components
    assert summarize(without_consent, DEFAULT_POLICY).engagement.attendance == 4 / 5


def test_withdrawn_consent_ends_what_absence_had_begun_to_show() -> None:
    """A single absence before the withdrawal does not become a sign with the next one long after it."""
    events = [*rated_sessions(9, 9, 9), BUILDER.missed(3), WITHDRAWN, GIVEN_AGAIN, BUILDER.missed(8)]

    assert detected_signs(events) == set()
