"""Absences: those in a row are worth watching whatever the probability is, and what their signs say."""

from datetime import timedelta

import pytest

from services.alliance.domain.detection import episodes
from services.alliance.domain.state.history import HistoryEvent
from shared.clinical.signs import session_at
from shared.clinical.wording import describe_evidence
from shared.events import Evidence
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


def test_the_sign_of_three_absences_in_a_row_outlives_later_signs() -> None:
    """An alert that stands on it states no probability, however the client's silence goes on."""
    before = rated_sessions(*[9.0] * 8)
    absences: list[HistoryEvent] = [BUILDER.missed(week) for week in (8, 9, 10)]
    silent: list[HistoryEvent] = [e for week in range(11, 15) for e in (BUILDER.completed(week), BUILDER.lapsed(week))]

    episode = open_episode([*before, *absences, *silent])

    third, *_, newest = [sign for sign in episode.evidence if sign.detector == "withdrawal"]
    assert (third.numbers["in_a_row"], newest.numbers["in_a_row"]) == (3, 0)
    assert episodes.stated_probability(episode) is None
    assert describe_evidence(episode.evidence)[-1].endswith("this appointment was missed, the 3rd absence in a row.")


def test_of_the_signs_of_one_kind_at_most_three_remain() -> None:
    """The strongest, the newest, and the newest that is worth watching by itself."""
    in_a_row, strengths = (0, 0, 3, 4, 0, 0), (3.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    signs = [
        Evidence(detector="withdrawal", strength=strength, occurred_at=BUILDER.at(week), numbers={"in_a_row": absences})
        for week, (absences, strength) in enumerate(zip(in_a_row, strengths, strict=True))
    ]

    assert episodes.select_signs(signs) == (signs[0], signs[3], signs[5])


def test_a_form_that_lapses_between_the_absences_does_not_interrupt_them() -> None:
    """It is about the session before them, which was held."""
    before = [BUILDER.missed(0), *rated_sessions(9, 9, 9, 9, first=1), BUILDER.completed(5)]
    lapsed = BUILDER.lapsed(5).model_copy(update={"occurred_at": BUILDER.at(6.5)})
    absences: list[HistoryEvent] = [BUILDER.missed(6), lapsed, BUILDER.missed(7), BUILDER.missed(8)]

    assert open_episode([*before, *absences]).evidence[-1].numbers["in_a_row"] == 3


def test_withdrawal_names_what_was_missed_lately_and_what_came_last() -> None:
    absent = [*rated_sessions(*[9.0] * 8), BUILDER.missed(8), BUILDER.cancelled(9, 3), BUILDER.missed(10)]

    def last_numbers(*events: HistoryEvent) -> dict[str, float]:
        sign = open_episode([*absent, *events]).evidence[-1]
        return {name: number for name, number in sign.numbers.items() if name not in ("session", "hours_after_session")}

    nothing = {"appointments": 4, "missed": 2, "cancelled_late": 1, "cut_short": 0, "silent": 0, "in_a_row": 3}
    assert last_numbers() == nothing | {"absence": 1}
    assert last_numbers(BUILDER.missed(11)) == nothing | {"absence": 1, "missed": 3, "in_a_row": 4}
    assert last_numbers(BUILDER.cancelled(11, 3))["absence"] == 2
    assert last_numbers(BUILDER.lapsed(11)) == nothing | {"appointments": 3, "silent": 1}


def test_a_sign_says_how_long_after_its_session_it_occurred() -> None:
    usual = rated_sessions(*[9.0] * 12)
    lapsed: list[HistoryEvent] = [e for week in range(12, 16) for e in (BUILDER.completed(week), BUILDER.lapsed(week))]
    absent: list[HistoryEvent] = [BUILDER.missed(8), BUILDER.missed(9), BUILDER.cancelled(10, 3)]

    (silent,) = open_episode([*usual, *lapsed]).evidence[-1:]
    (cancelled,) = open_episode([*rated_sessions(*[9.0] * 8), *absent]).evidence[-1:]

    held_at = BUILDER.completed(15).occurred_at
    assert session_at(silent) == held_at
    assert silent.occurred_at > held_at
    assert session_at(cancelled) - cancelled.occurred_at == timedelta(hours=3)
