"""What happened while the clinic's scheduling source was stale does not count, until a correction says that it does."""

from collections.abc import Callable
from uuid import uuid5

import pytest

from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.presentation.summary import summarize
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.fast_replace import replace
from services.alliance.domain.state.history import HistoryEvent
from shared.events import FeedbackLapsed, SessionCancelled, SessionMissed
from tests.unit.alliance.rated_relationship import BUILDER, detected_signs, fold_events, rated_sessions

USUAL = rated_sessions(9, 9, 9, 9)
BUILDERS: dict[str, Callable[[int], SessionMissed | SessionCancelled | FeedbackLapsed]] = {
    "missed": BUILDER.missed,
    "cancelled late": BUILDER.cancelled,
    "unanswered": BUILDER.lapsed,
}


def absences(kind: str, **fields: object) -> list[HistoryEvent]:
    """Enough of one kind to open an episode."""
    return [BUILDERS[kind](week).model_copy(update=fields) for week in range(4, 10)]


def learned(alliance: Alliance) -> Alliance:
    """The alliance without which appointments are known."""
    return replace(alliance, last_event_key=None, recent_sessions=(), corrections={})


@pytest.mark.parametrize("kind", BUILDERS)
def test_absence_and_silence_in_a_source_gap_leave_everything_as_it_was(kind: str) -> None:
    alliance = fold_events([*USUAL, *absences(kind, source_gap=True)])

    assert detected_signs([*USUAL, *absences(kind)]) == {"withdrawal"}
    assert learned(alliance) == learned(fold_events(USUAL))
    engagement = summarize(alliance, DEFAULT_POLICY).engagement
    assert {engagement.attendance, engagement.response} == {1.0}
    assert {engagement.attendance_lately, engagement.response_lately} <= {1.0, None}


@pytest.mark.parametrize("kind", BUILDERS)
def test_a_correction_without_the_gap_makes_absence_and_silence_count(kind: str) -> None:
    corrected = [event.model_copy(update={"id": uuid5(event.id, "1")}) for event in absences(kind, correction=1)]

    alliance = fold_events([*USUAL, *absences(kind, source_gap=True), *corrected])

    assert learned(alliance) == learned(fold_events([*USUAL, *corrected]))
    assert alliance.open_episode is not None


def test_a_form_that_lapsed_in_a_source_gap_can_be_answered_in_time() -> None:
    lapse = BUILDER.lapsed(4).model_copy(update={"source_gap": True})
    answer = BUILDER.feedback(4).model_copy(update={"occurred_at": BUILDER.at(4.9)})

    alliance = fold_events([*USUAL, BUILDER.completed(4), lapse, answer])

    assert (alliance.feedback_received, alliance.feedback_late) == (5, 0)


def test_a_form_about_an_appointment_in_a_source_gap_was_not_due() -> None:
    missed = BUILDER.missed(4).model_copy(update={"source_gap": True})

    assert learned(fold_events([*USUAL, missed, BUILDER.lapsed(4)])) == learned(fold_events(USUAL))


@pytest.mark.parametrize("without_weight", [BUILDER.missed(0), BUILDER.cancelled(0, 90)], ids=["source gap", "in time"])
def test_what_follows_an_appointment_that_does_not_count_is_the_first_to_be_known(
    without_weight: SessionMissed | SessionCancelled,
) -> None:
    """The probabilities start with it; before, there are none."""
    nothing = without_weight.model_copy(update={"source_gap": isinstance(without_weight, SessionMissed)})

    alliance = fold_events([nothing, BUILDER.feedback(0, 9)])

    assert alliance.client.ratings == 1
    assert sum(alliance.components) == pytest.approx(1)
