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
