"""The floor: an answer that is low in any relationship is of concern, whatever else is known or decided."""

import pytest

from services.alliance.domain.detection.floor import is_at_floor, new_levels, update_floor
from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policy
from services.alliance.domain.presentation.summary import summarize
from services.alliance.domain.state.alliance import Alliance, Floor
from services.alliance.domain.state.history import HistoryEvent
from shared.events import Evidence
from tests.unit.alliance.rated_relationship import BUILDER, START_EVENTS, fold_events, open_episode, rated_sessions

UNREACHABLE = Policy(base_rate=0.01, watch=0.97, concern=0.98, urgent=0.99)
"""No probability opens an episode under this policy."""


def floor_signs(alliance: Alliance) -> list[Evidence]:
    episode = alliance.open_episode
    return [sign for sign in episode.evidence if sign.detector == "at_floor"] if episode else []


def standing(events: list[HistoryEvent]) -> str:
    return summarize(fold_events(events), DEFAULT_POLICY).standing


@pytest.mark.parametrize(
    ("rating", "level"), [(41, None), (40, 40), (31, 40), (30, 30), (20, 20), (11, 20), (10, 10), (0, 10)]
)
def test_the_levels_of_the_answer_as_a_whole_are_40_30_20_and_10(rating: float, level: float | None) -> None:
    assert dict(new_levels(Floor(), rating, {})) == ({} if level is None else {"whole": level})
    assert is_at_floor(rating, {}) == (level is not None)


@pytest.mark.parametrize(("rating", "level"), [(2.1, None), (2, 2), (1.5, 2), (1, 1), (0.5, 1), (0, 0)])
def test_the_levels_of_an_element_are_2_1_and_0(rating: float, level: float | None) -> None:
    assert dict(new_levels(Floor(), 85, {"trust": rating, "fit": 9})) == ({} if level is None else {"trust": level})
    assert is_at_floor(85, {"trust": rating, "fit": 9}) == (level is not None)


def test_an_answer_at_the_floor_is_of_concern_from_the_first_session() -> None:
    """In the client's own numbers, and not as a fall from a level that nobody has seen."""
    episode = open_episode(rated_sessions(2))

    assert (episode.severity, episode.first_sign_at) == ("concern", BUILDER.feedback(0).occurred_at)
    assert {sign.detector for sign in episode.evidence} == {"at_floor"}
    whole = next(sign for sign in episode.evidence if sign.element is None)
    assert whole.numbers == {"rating": 20, "level": 20, "own": 0, "session": 1, "hours_after_session": 2}


def test_a_single_0_at_non_judgment_among_nines_is_of_concern() -> None:
    episode = open_episode([BUILDER.completed(0), BUILDER.feedback(0, 9, non_judgment=0)])

    assert episode.severity == "concern"
    assert [(sign.detector, sign.element, sign.numbers) for sign in episode.evidence] == [
        ("at_floor", "non_judgment", {"rating": 0, "level": 0, "own": 0, "session": 1, "hours_after_session": 2})
    ]


def test_each_level_is_a_sign_once() -> None:
    def change_count(*ratings: float) -> int:
        return open_episode(rated_sessions(*ratings)).change_count

    assert change_count(4, 4, 4) == 0
    assert change_count(4, 4, 3, 3) == 1
    assert change_count(4, 3, 4, 3) == 1


def test_a_level_is_a_sign_again_after_two_answers_above_the_floor() -> None:
    first = update_floor(Floor(), 35, {})
    once_above = update_floor(first, 60, {})
    left = update_floor(once_above, 60, {})

    assert dict(new_levels(once_above, 35, {})) == {}
    assert dict(new_levels(once_above, 25, {})) == {"whole": 30}
    assert left == Floor()
    assert dict(new_levels(left, 35, {})) == {"whole": 40}
    assert update_floor(once_above, 35, {}) == first  # two in a row


def test_the_lowest_level_of_each_element_is_remembered() -> None:
    floor = update_floor(Floor(), 70, {"trust": 1, "fit": 2})

    assert update_floor(floor, 70, {"trust": 2, "fit": 0}).lowest == {"trust": 1, "fit": 0}
    assert dict(new_levels(floor, 70, {"trust": 1, "respect": 2})) == {"respect": 2}


def test_no_probability_and_no_threshold_silences_the_floor() -> None:
    """No calibration makes it silent."""
    episode = fold([*START_EVENTS, *rated_sessions(4)], UNREACHABLE).open_episode

    assert episode is not None
    assert episode.severity == "concern"


def test_a_resolution_does_not_touch_the_floor() -> None:
    low = rated_sessions(9, 9, 3)
    resolved = BUILDER.resolved(open_episode(low).id, 2.5, "not_a_rupture")

    again = open_episode([*low, resolved, *rated_sessions(2, first=3)])

    assert again.severity != "watch"
    assert {sign.numbers["level"] for sign in again.evidence if sign.detector == "at_floor"} >= {20}
    assert fold_events([*low, resolved]).floor == fold_events(low).floor


def test_a_level_shift_does_not_end_an_episode_while_the_ratings_are_at_the_floor() -> None:
    low = fold_events(rated_sessions(*[9.0] * 8, *[3.0] * 20))

    assert low.open_episode is not None
    assert low.last_ended is None


def test_the_floor_applies_after_a_level_shift() -> None:
    lower = rated_sessions(*[9.0] * 8, *[5.0] * 10)

    assert fold_events(lower).open_episode is None
    assert {sign.detector for sign in floor_signs(fold_events([*lower, *rated_sessions(4, first=18)]))} == {"at_floor"}


def test_standing_is_never_calm_at_or_below_the_floor() -> None:
    """Not even if the episode was resolved, and never `calm` on the first form of zeros."""
    low = rated_sessions(9, 9, 3)
    resolved = BUILDER.resolved(open_episode(low).id, 2.5)

    assert standing([*rated_sessions(0)]) == "concern"
    assert standing(low) != "calm"
    assert standing([*low, resolved]) == "concern"
    assert standing([*low, resolved, *rated_sessions(9, first=3)]) == "calm"


def test_standing_at_the_floor_is_of_concern_although_something_else_is_only_watched() -> None:
    low = rated_sessions(9, 9, 3)
    events = [*low, BUILDER.resolved(open_episode(low).id, 2.5), BUILDER.missed(3), BUILDER.missed(4)]

    assert open_episode(events).severity == "watch"
    assert standing(events) == "concern"


def test_an_answer_at_the_floor_is_no_calm_rating() -> None:
    """However usual it is: an episode does not count as repaired by it."""
    usual = rated_sessions(*[4.0] * 5)

    assert open_episode(usual).calm_ratings == 0
    assert fold_events([*usual, *rated_sessions(4.2, 4.2, first=5)]).last_repaired is not None


def test_the_clinicians_rating_has_no_floor() -> None:
    """A clinician knows what the clinician said."""
    alliance = fold_events([BUILDER.completed(0), BUILDER.feedback(0, 1, "clinician")])

    assert (alliance.open_episode, alliance.floor) == (None, Floor())


def test_without_consent_no_answer_is_at_the_floor() -> None:
    assert fold_events([BUILDER.consent_changed(-0.1, given=False), *rated_sessions(0)]).open_episode is None


def test_after_consent_is_given_again_each_level_is_told_again() -> None:
    """The alert about it is gone, also for a client who has always rated so low."""
    low = rated_sessions(3, 3, 3)
    again: list[HistoryEvent] = [
        *low,
        BUILDER.consent_changed(2.5, given=False),
        BUILDER.consent_changed(2.6, given=True),
    ]

    assert standing(again) == "concern"
    assert fold_events(again).open_episode is None
    assert [sign.numbers["level"] for sign in floor_signs(fold_events([*again, *rated_sessions(3, first=3)]))][-1] == 30
    assert open_episode([*again, *rated_sessions(3, 3, 3, first=3)]).change_count == 0
    assert floor_signs(fold_events([*again, *rated_sessions(9, 9, first=3)])) == []
