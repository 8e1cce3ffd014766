"""Absences in a row, which are worth watching whatever the probability is."""

import pytest

from services.alliance.domain.state.history import HistoryEvent
from tests.unit.alliance.rated_relationship import BUILDER, fold_events, open_episode, rated_sessions


@pytest.mark.parametrize("usual", [3, 5, 8])
def test_three_absences_in_a_row_are_worth_watching_also_after_an_earlier_one(usual: int) -> None:
    """At a probability that is not."""
    before = [BUILDER.missed(0), *rated_sessions(*[9.0] * usual, first=1)]
    absences: list[HistoryEvent] = [
        BUILDER.missed(usual + 1),
        BUILDER.cancelled(usual + 2, 3),
        BUILDER.missed(usual + 3),
    ]

    episode = open_episode([*before, *absences])

    assert fold_events([*before, *absences[:2]]).open_episode is None
    assert (episode.severity, {sign.detector for sign in episode.evidence}) == ("watch", {"withdrawal"})


def test_a_form_that_lapses_between_the_absences_does_not_interrupt_them() -> None:
    """It is about the session before them, which was held."""
    before = [BUILDER.missed(0), *rated_sessions(9, 9, 9, 9, first=1), BUILDER.completed(5)]
    lapsed = BUILDER.lapsed(5).model_copy(update={"occurred_at": BUILDER.at(6.5)})
    absences: list[HistoryEvent] = [BUILDER.missed(6), lapsed, BUILDER.missed(7), BUILDER.missed(8)]

    assert open_episode([*before, *absences]).evidence[-1].numbers["in_a_row"] == 3
