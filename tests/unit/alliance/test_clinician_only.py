"""An episode in which only the clinician has said anything: it ends, and a client who has spoken is not outvoted."""

from services.alliance.domain.detection.episodes import LEVEL_SHIFT_AFTER
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.presentation.summary import summarize
from services.alliance.domain.state.history import HistoryEvent
from shared.events import Tension
from tests.unit.alliance.rated_relationship import BUILDER, fold_events, open_episode, rated_sessions

SHIFT_WEEKS = LEVEL_SHIFT_AFTER.days // 7


def unanswered_sessions(*ratings: float, first: int = 0, tension: Tension = "none") -> list[HistoryEvent]:
    """Sessions that only the clinician has rated: the client's forms lapse."""
    return [
        event
        for week, rating in enumerate(ratings, start=first)
        for event in (
            BUILDER.completed(week),
            BUILDER.feedback(week, rating, "clinician", tension),
            BUILDER.lapsed(week),
        )
    ]


FALLEN = unanswered_sessions(*[9.0] * 10, 4, 4)


def test_usual_ratings_of_the_clinician_repair_what_the_clinician_alone_has_noticed() -> None:
    episode = open_episode(FALLEN)

    repaired = fold_events([*FALLEN, *unanswered_sessions(9, 9, 9, first=12)])

    assert "clinician_drop" in {sign.detector for sign in episode.evidence}
    assert repaired.open_episode is None
    assert repaired.last_repaired is not None
    assert repaired.last_repaired.id == episode.id
    assert fold_events([*FALLEN, *unanswered_sessions(9, 4, 9, 4, first=12)]).open_episode is not None


def test_a_tension_that_the_clinician_reports_again_is_no_repair() -> None:
    tense = [*unanswered_sessions(*[9.0] * 4), *unanswered_sessions(9, 9, 9, first=4, tension="yes")]

    assert fold_events(tense).open_episode is not None
    assert fold_events([*tense, *unanswered_sessions(9, 9, 9, first=7)]).open_episode is None


def test_a_lasting_fall_of_the_clinicians_ratings_is_another_level() -> None:
    """It says nothing about the level of the client, who has not rated."""
    shifted = fold_events([*FALLEN, *unanswered_sessions(*[4.0] * SHIFT_WEEKS, first=12)])

    assert shifted.open_episode is None
    assert shifted.last_ended is not None
    assert (shifted.last_ended.reason, shifted.last_ended.shift) == ("level_shift", "lower")
    assert shifted.clinician.baseline_mean == 40
    assert summarize(shifted, DEFAULT_POLICY).lower_since is None


def test_once_the_client_has_rated_the_clinician_repairs_nothing() -> None:
    """Clinicians overrate the alliance."""
    opened_by_client = [*rated_sessions(*[9.0] * 8, 5.5), *unanswered_sessions(*[9.0] * 20, first=9)]
    one_calm = [*FALLEN, BUILDER.completed(12), BUILDER.feedback(12, 9, "clinician"), BUILDER.feedback(12, 7)]

    assert fold_events(opened_by_client).open_episode is not None
    assert fold_events([*one_calm, *unanswered_sessions(9, 9, first=13)]).open_episode is not None
