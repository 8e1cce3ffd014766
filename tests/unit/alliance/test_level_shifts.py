"""An episode ends: with a level shift, superseded by a second rupture, or repaired; and it can rise again."""

from services.alliance.domain.derived_events import derive_events
from services.alliance.domain.detection.episodes import LEVEL_SHIFT_AFTER, MIN_LEVEL_RATINGS
from services.alliance.domain.fold import refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.presentation.summary import summarize
from services.alliance.domain.state.alliance import Alliance, EndedEpisode
from services.alliance.domain.state.history import HistoryEvent
from shared.events import AllianceUpdated, RuptureEnded
from tests.unit.alliance.rated_relationship import BUILDER, START_EVENTS, fold_events, open_episode, rated_sessions

USUAL = rated_sessions(*[9.0] * 8)
WEEKS = LEVEL_SHIFT_AFTER.days // 7


def lower(weeks: int, rating: float = 6.5) -> list[HistoryEvent]:
    """The usual ratings, and this many of another level."""
    return [*USUAL, *rated_sessions(*[rating] * weeks, first=8)]


def last_ended(alliance: Alliance) -> EndedEpisode:
    assert alliance.last_ended is not None
    return alliance.last_ended


def test_a_lasting_change_ends_the_episode_after_eight_weeks_and_not_before() -> None:
    opened = open_episode(lower(1))

    assert WEEKS == 8
    assert open_episode(lower(WEEKS)).id == opened.id
    ended = fold_events(lower(WEEKS + 1))
    assert ended.open_episode is None
    assert (last_ended(ended).episode.id, last_ended(ended).reason) == (opened.id, "level_shift")
    assert last_ended(ended).at == BUILDER.feedback(8 + WEEKS).occurred_at
    assert ended.last_repaired is None


def test_four_ratings_are_needed_to_show_another_level() -> None:
    """A client who comes once in four weeks has rated too seldom after eight."""

    def seldom(ratings: int) -> Alliance:
        weeks = range(8, 8 + 4 * ratings, 4)
        return fold_events([*USUAL, *(event for week in weeks for event in rated_sessions(5.5, first=week))])

    assert MIN_LEVEL_RATINGS == 4
    assert seldom(3).open_episode is not None
    assert last_ended(seldom(4)).reason == "level_shift"


def test_an_alliance_says_since_when_it_is_lower() -> None:
    ended = fold_events(lower(WEEKS + 1))
    summary = summarize(ended, DEFAULT_POLICY)

    assert summary.lower_since == BUILDER.feedback(8).occurred_at
    assert summary.low is not None
    assert summary.high is not None
    assert summary.low < 65 < summary.high < 80
    assert summarize(fold_events(USUAL), DEFAULT_POLICY).lower_since is None


def test_the_level_shift_is_over_when_the_score_is_back_in_its_former_range() -> None:
    back = [*lower(WEEKS + 2), *rated_sessions(9, 9, 9, 9, 9, first=8 + WEEKS + 2)]

    assert summarize(fold_events(back[:-8]), DEFAULT_POLICY).lower_since is not None
    assert summarize(fold_events(back), DEFAULT_POLICY).lower_since is None


def test_a_second_level_shift_downwards_counts_from_the_first() -> None:
    twice = [*lower(WEEKS + 3), *rated_sessions(*[4.5] * (WEEKS + 1), first=8 + WEEKS + 3)]

    alliance = fold_events(twice)

    assert last_ended(alliance).episode.first_sign_at == BUILDER.feedback(8 + WEEKS + 3).occurred_at
    assert summarize(alliance, DEFAULT_POLICY).lower_since == BUILDER.feedback(8).occurred_at


def test_a_fall_after_a_level_shift_opens_another_episode() -> None:
    """As surprising as it would have been before: the level of now is the one to compare with."""
    shifted = [*lower(WEEKS + 4)]
    deep = [*shifted, *rated_sessions(4.2, 4.2, first=8 + WEEKS + 4)]

    assert fold_events(shifted).open_episode is None
    assert open_episode(deep).id not in (last_ended(fold_events(shifted)).episode.id, None)
    assert open_episode(deep).severity == "urgent"


def test_a_rating_of_the_new_level_is_no_sign() -> None:
    shifted = fold_events(lower(WEEKS + 12))

    assert (shifted.open_episode, shifted.signs) == (None, ())
    assert last_ended(shifted).episode.id == open_episode(lower(1)).id


def test_an_element_that_stays_lower_is_another_level_too() -> None:
    weeks = range(8, 8 + WEEKS + 4)
    answers = [event for w in weeks for event in (BUILDER.completed(w), BUILDER.feedback(w, 9, trust=4, fit=5))]

    episode, later = open_episode([*USUAL, *answers[:8]]), fold_events([*USUAL, *answers])

    assert "element_drop" in {sign.detector for sign in episode.evidence}
    assert (last_ended(later).episode.id, last_ended(later).reason) == (episode.id, "level_shift")
    assert later.open_episode is None


def test_an_element_that_was_low_from_the_start_is_no_sign() -> None:
    """However unusual it is in the clinic: within a few sessions it is what this client usually answers."""
    weeks = [event for w in range(8) for event in (BUILDER.completed(w), BUILDER.feedback(w, 9, trust=4, fit=5))]

    assert fold_events(weeks).open_episode is None


def test_a_fall_back_to_the_level_before_a_lasting_rise_is_a_sign() -> None:
    before, risen = rated_sessions(*[6.0, 6.4] * 6), rated_sessions(*[8.4, 8.8] * 4, first=12)

    assert fold_events([*before, *risen]).open_episode is None
    assert open_episode([*before, *risen, *rated_sessions(6.4, first=20)]).severity == "concern"


def test_a_few_good_ratings_are_no_other_level() -> None:
    before, good = rated_sessions(*[6.0, 6.4] * 6), rated_sessions(*[8.4, 8.8] * 2, 8.4, first=12)

    assert fold_events([*before, *good, *rated_sessions(6.4, first=17)]).open_episode is None


def test_a_second_rupture_supersedes_the_open_episode() -> None:
    first = lower(5, rating=7)
    second = [*first, *rated_sessions(4.5, first=13)]

    superseding, ended = open_episode(second), last_ended(fold_events(second))

    assert (ended.episode.id, ended.reason) == (open_episode(first).id, "superseded")
    assert ended.superseded_by == superseding.id != ended.episode.id
    assert superseding.first_sign_at == BUILDER.feedback(13).occurred_at
    assert superseding.change_count == 0


def test_the_same_rupture_does_not_supersede_itself() -> None:
    episode = open_episode(lower(7, rating=7))

    assert episode.id == open_episode(lower(1, rating=7)).id
    assert fold_events(lower(7, rating=7)).last_ended is None
    assert open_episode([*lower(2, rating=7), *rated_sessions(4.5, first=10)]).id == episode.id  # too soon to tell


def test_an_open_episode_can_rise_to_urgent_weeks_later() -> None:
    concern = [*USUAL, *rated_sessions(7.5, 9, 7.5, first=8)]
    episode, later = open_episode(concern[:18]), open_episode([*concern, *rated_sessions(5, 5, first=11)])

    assert (episode.severity, later.severity) == ("concern", "urgent")
    assert later.id == episode.id


def test_the_events_say_how_an_episode_ended_and_since_when_the_ratings_are_lower() -> None:
    result = refold([*START_EVENTS, *lower(WEEKS + 1)], DEFAULT_POLICY)

    ended, update = derive_events(BUILDER.relationship_id, result, 3, DEFAULT_POLICY)

    assert isinstance(ended, RuptureEnded)
    assert (ended.reason, ended.occurred_at) == ("level_shift", BUILDER.feedback(8 + WEEKS).occurred_at)
    assert isinstance(update, AllianceUpdated)
    assert (update.lower_since, update.standing) == (BUILDER.feedback(8).occurred_at, "calm")
    second = refold([*START_EVENTS, *lower(5, 7), *rated_sessions(4.5, first=13)], DEFAULT_POLICY)
    superseded, suspected, _ = derive_events(BUILDER.relationship_id, second, 3, DEFAULT_POLICY)
    assert isinstance(superseded, RuptureEnded)
    assert second.alliance.open_episode is not None
    assert (superseded.reason, superseded.superseded_by) == ("superseded", second.alliance.open_episode.id)
    assert suspected.event_type() == "clinic.rupture.suspected.v1"


def test_a_level_shift_upwards_is_not_lower() -> None:
    """An element that falls while all others rise opens an episode in a relationship that is better than before."""
    low = rated_sessions(*[6.0] * 8)
    weeks = range(8, 8 + WEEKS + 4)
    answers = [event for w in weeks for event in (BUILDER.completed(w), BUILDER.feedback(w, 8, trust=3, fit=3))]

    alliance = fold_events([*low, *answers])

    assert summarize(alliance, DEFAULT_POLICY).lower_since is None


def test_tensions_at_usual_ratings_are_no_other_level() -> None:
    """A client who always rates 9 is not lower since the first tension."""
    reported = [
        event
        for week in range(24)
        for event in (BUILDER.completed(week), BUILDER.feedback(week, 9, tension="yes" if week % 2 else "none"))
    ]

    alliance = fold_events(reported)

    assert alliance.open_episode is not None
    assert (alliance.open_episode.first_sign_at, alliance.last_ended) == (BUILDER.feedback(1).occurred_at, None)
    assert fold_events([*reported, *rated_sessions(9, 9, first=24)]).last_repaired is not None


def test_an_episode_does_not_end_with_the_answer_that_reports_a_tension() -> None:
    """Otherwise the clinician would not be alerted. With the next low answer it does."""
    week = 8 + WEEKS
    reported = [*lower(WEEKS), BUILDER.completed(week), BUILDER.feedback(week, 6.5, tension="yes", talked_about="not")]

    assert "told_directly" in {sign.detector for sign in open_episode(reported).evidence}
    assert last_ended(fold_events([*reported, *rated_sessions(6.5, first=week + 1)])).reason == "level_shift"


def test_the_totals_of_a_questionnaire_can_shift_their_level_too() -> None:
    """It has no elements that could be compared with each other."""
    totals = [36.0] * 8 + [26.0] * (WEEKS + 1)

    alliance = fold_events(BUILDER.instrument_total(week, "srs", total) for week, total in enumerate(totals))

    assert last_ended(alliance).reason == "level_shift"
    assert alliance.client.baseline_mean == 65


def test_a_clinician_who_rates_at_another_level_for_long_is_no_difference_any_more() -> None:
    """The client has rated as usual all along."""

    def rated_apart(weeks: int) -> Alliance:
        clinician = [BUILDER.feedback(week, 5 if week < 10 else 10, "clinician", None) for week in range(weeks)]
        late = [answer.model_copy(update={"occurred_at": BUILDER.at(w + 0.3)}) for w, answer in enumerate(clinician)]
        return fold_events([*rated_sessions(*[8.0] * weeks), *late])

    episode, ended = rated_apart(12).open_episode, last_ended(rated_apart(11 + WEEKS + 1))

    assert episode is not None
    assert {sign.detector for sign in episode.evidence} == {"apart"}
    assert (ended.episode.id, ended.reason, ended.shift) == (episode.id, "level_shift", "higher")
    assert rated_apart(30).open_episode is None
    assert summarize(rated_apart(30), DEFAULT_POLICY).lower_since is None
