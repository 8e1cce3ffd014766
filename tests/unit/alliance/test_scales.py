"""Answers are compared only within one scale: the same questionnaire in the same language."""

import pytest

from services.alliance.domain.detection.scale import MAX_OTHER_SCALES
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.presentation.summary import summarize
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HistoryEvent
from tests.unit.alliance.rated_relationship import BUILDER, detected_signs, fold_events, open_episode, rated_sessions


def rated_in(language: str | None, *ratings: float, first: int = 0) -> list[HistoryEvent]:
    """One held and rated session a week, in this language."""
    return [
        event.model_copy(update={"language": language}) if event.type == "clinic.feedback.submitted.v1" else event
        for event in rated_sessions(*ratings, first=first)
    ]


def instrument_sessions(name: str, total: float, *weeks: int) -> list[HistoryEvent]:
    return [event for week in weeks for event in (BUILDER.completed(week), BUILDER.instrument_total(week, name, total))]


GERMAN = rated_in("de", *[9.0] * 6)


def test_the_first_answer_in_another_language_is_no_drop() -> None:
    assert "sudden_drop" in detected_signs([*GERMAN, *rated_in("de", 5, first=6)])
    assert detected_signs([*GERMAN, *rated_in("tr", 5, first=6)]) == set()
    assert "sudden_drop" in detected_signs([*GERMAN, *rated_in("tr", 8, 8, 4.5, first=6)])


def test_the_first_answer_in_another_language_is_no_sign_of_calm() -> None:
    """It neither repairs an episode nor makes a rupture less likely, because nothing is known to compare it with."""
    ruptured = [*GERMAN, *rated_in("de", 5, first=6)]
    before, after = (
        fold_events([*ruptured, BUILDER.completed(7)]),
        fold_events([*ruptured, *rated_in("tr", 9, first=7)]),
    )

    assert after.open_episode is not None
    assert before.open_episode is not None
    assert (after.open_episode.id, after.open_episode.calm_ratings) == (before.open_episode.id, 0)
    at_floor = fold_events([*ruptured, *rated_in("de", 9, first=7), *rated_in("tr", 2, first=8)]).open_episode
    assert at_floor is not None
    assert at_floor.calm_ratings == 0


def test_a_language_that_the_client_changes_to_in_an_episode_does_not_repair_it_at_the_low_level() -> None:
    """Its baseline begins inside the rupture, so that three equally low answers are as usual there."""
    ruptured = [*GERMAN, *rated_in("de", 5, first=6)]
    low, good = (fold_events([*ruptured, *rated_in("tr", *[rating] * 4, first=7)]) for rating in (5, 9))

    assert low.open_episode is not None
    assert (low.open_episode.calm_ratings, low.last_repaired) == (0, None)
    assert good.open_episode is None
    assert good.last_repaired is not None


def test_a_rating_that_is_low_in_the_new_language_repairs_nothing_though_it_was_usual_in_the_one_before() -> None:
    ruptured = rated_in("de", *[9.0, 6.0] * 4, 3)

    low, good = (fold_events([*ruptured, *rated_in("tr", 9.3, 9.3, rating, first=9)]) for rating in (8.4, 9.3))

    assert low.open_episode is not None
    assert (low.open_episode.calm_ratings, low.last_repaired) == (0, None)
    assert good.last_repaired is not None


def test_a_first_low_answer_in_another_language_opens_an_episode_that_the_same_level_does_not_repair() -> None:
    """No rating of the episode is in the language of before."""
    low = [*GERMAN, *rated_in("tr", 4, *[5.0] * 4, first=6)]

    assert open_episode(low).calm_ratings == 0
    assert fold_events([*low, *rated_in("tr", 9, 9, first=11)]).last_repaired is not None


@pytest.mark.parametrize(
    "lasting", [rated_in("tr", *[5.0] * 12, first=13), instrument_sessions("srs", 20, *range(13, 25))]
)
def test_a_level_shift_compares_another_scale_with_the_level_on_the_one_right_before(
    lasting: list[HistoryEvent],
) -> None:
    """It is lower than the German answers were, and no lower than the English ones."""
    english, german = rated_in("en", *[4.5] * 6), rated_in("de", *[9.0] * 6, 5, first=6)

    ended = fold_events([*english, *german, *lasting]).last_ended

    assert ended is not None
    assert (ended.reason, ended.shift) == ("level_shift", "lower")


def test_a_level_shift_lasts_until_another_language_is_back_at_the_level_of_before() -> None:
    lasting = [*GERMAN, *rated_in("de", 5, first=6), *rated_in("tr", *[5.0] * 12, first=7)]
    better = [*lasting, *rated_in("tr", *[7.0] * 5, first=19)]

    shifts = [fold_events(e).shifted_level for e in (lasting, better, [*better, *rated_in("tr", *[9.0] * 5, first=24)])]

    assert shifts[0] is not None
    assert shifts == [shifts[0], shifts[0], None]


def test_the_first_answer_in_another_language_does_not_end_a_level_shift() -> None:
    lower = [*GERMAN, *rated_in("de", *[7.0] * 10, first=6)]

    shift = fold_events(lower).shifted_level

    assert shift is not None
    assert fold_events([*lower, *rated_in("tr", 9.5, first=16)]).shifted_level == shift


def test_the_baseline_of_a_language_is_found_again() -> None:
    there_and_back = [*GERMAN, *rated_in("tr", 7, 7, first=6)]

    turkish, back = fold_events(there_and_back), fold_events([*there_and_back, *rated_in("de", 9, first=8)])

    assert (turkish.client.ratings, back.client.ratings) == (2, 7)
    assert "sudden_drop" in detected_signs([*there_and_back, *rated_in("de", 7, first=8)])


def test_answers_of_before_without_a_language_are_on_the_scale_of_the_first_that_says_it() -> None:
    old = rated_in(None, *[9.0] * 6)

    assert fold_events([*old, *rated_in("de", 9, first=6)]) != fold_events(old)
    assert fold_events([*old, *rated_in("de", 9, first=6)]).client.ratings == 7
    assert "sudden_drop" in detected_signs([*old, *rated_in("de", 5, first=6)])
    assert fold_events([*old, *rated_in("de", 9, first=6), *rated_in(None, 9, first=7)]).client.ratings == 8
    assert fold_events([*GERMAN, *rated_in("tr", 9, first=6), *rated_in(None, 9, first=7)]).client.ratings == 2


def test_a_published_questionnaire_has_a_baseline_of_its_own() -> None:
    """The totals of two questionnaires differ, also where both are scaled to their range."""
    own = rated_sessions(*[9.0] * 6)

    alliance = fold_events([*own, *instrument_sessions("srs", 28, 6, 7)])

    assert (alliance.client.ratings, alliance.open_episode) == (2, None)
    assert alliance.element_scores["trust"] == 90  # as it was when it was last asked
    assert "sudden_drop" in detected_signs([*own, *instrument_sessions("srs", 28, 6, 7), *rated_sessions(5, first=8)])


def test_the_baselines_of_three_other_scales_are_remembered() -> None:
    """The state must stay small, however often a form is changed."""
    languages = ["de", "tr", "en", "fr", "pl"]
    events = [event for week, language in enumerate(languages) for event in rated_in(language, 9, first=week)]

    alliance = fold_events(events)

    assert MAX_OTHER_SCALES == 3
    assert list(alliance.other_scales) == [" tr", " en", " fr"]
    assert fold_events([*events, *rated_in("tr", 9, first=5)]).client.ratings == 2
    assert fold_events([*events, *rated_in("de", 9, first=5)]).client.ratings == 1


def test_an_answer_without_a_rating_that_can_be_read_leaves_the_scale() -> None:
    """What is shown would otherwise vanish, and known baselines would be forgotten for one that never exists."""
    known = fold_events(GERMAN)

    alliance = fold_events([*GERMAN, *instrument_sessions("unheard-of", 3, 6)])

    assert (alliance.client, alliance.scale, alliance.other_scales) == (known.client, known.scale, {})
    assert summarize(alliance, DEFAULT_POLICY).level == 90


def test_the_floor_applies_to_the_first_answer_in_another_language() -> None:
    episode = open_episode([*GERMAN, *rated_in("tr", 2, first=6)])

    assert {sign.detector for sign in episode.evidence} == {"at_floor"}


def test_the_scale_of_a_relationship_without_answers_is_not_known() -> None:
    assert Alliance().scale is None
    assert fold_events([BUILDER.completed(0)]).scale is None
