"""Which signs of a rupture are seen, and which ratings are no sign at all."""

from collections.abc import Iterable

import pytest

from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT
from services.alliance.domain.state.alliance import Alliance, Episode
from services.alliance.domain.state.history import Fact
from tests.support.builders import Told

TOLD = Told()


def rated(*ratings: float, first: int = 0) -> list[Fact]:
    """One held and rated session a week."""
    return [
        event
        for week, rating in enumerate(ratings, start=first)
        for event in (TOLD.held(week), TOLD.felt(week, rating))
    ]


def after(facts: Iterable[Fact]) -> Alliance:
    return fold([TOLD.started(), TOLD.consent(-0.5, given=True), *facts], DEFAULT)


def signs(facts: Iterable[Fact]) -> set[str]:
    episode = after(facts).open
    return {sign.detector for sign in episode.evidence} if episode else set()


def opened(facts: Iterable[Fact]) -> Episode:
    episode = after(facts).open
    assert episode is not None
    return episode


def test_a_relationship_is_measured_against_itself() -> None:
    warm, cool = rated(*[9.0] * 8), rated(*[6.5] * 8)

    assert "sudden_drop" in signs([*warm, *rated(6.5, first=8)])
    assert signs([*cool, *rated(6.5, first=8)]) == set()


def test_the_very_first_rating_is_no_sign_however_low() -> None:
    assert signs(rated(2)) == set()


def test_the_second_rating_can_already_be_a_sign() -> None:
    assert signs(rated(9.5, 5)) == {"sudden_drop"}


def test_a_slide_is_seen_though_no_single_rating_is_alarming() -> None:
    assert "sustained_slide" in signs(rated(9, 9, 9, 9, 9, 9, 8.5, 8.2, 8, 7.8, 7.6, 7.5))


def test_one_element_that_breaks_away_is_named() -> None:
    critical = TOLD.felt(6, 9, non_judgment=4)

    episode = opened([*rated(*[9.0] * 6), TOLD.held(6), critical])

    assert [(sign.detector, sign.element) for sign in episode.evidence if sign.element] == [
        ("element_drop", "non_judgment")
    ]


def test_tension_that_was_not_talked_about_weighs_more_than_tension_that_was() -> None:
    before = [*rated(9, 9, 9), TOLD.held(3)]

    unspoken = opened([*before, TOLD.felt(3, 9, tension="yes", talked_about="not")])
    spoken = opened([*before, TOLD.felt(3, 9, tension="yes", talked_about="yes")])

    assert unspoken.evidence[0].strength > spoken.evidence[0].strength >= 1


def test_two_missed_sessions_in_a_row_are_a_sign() -> None:
    assert signs([*rated(9, 9, 9), TOLD.missed(3)]) == set()
    assert signs([*rated(9, 9, 9), TOLD.missed(3), TOLD.missed(4)]) == {"withdrawal"}


def test_sessions_cut_short_are_a_sign_beside_a_missed_one_unless_they_often_are() -> None:
    cut_short: list[Fact] = [TOLD.held(4, 20), TOLD.held(5, 20), TOLD.missed(6)]
    often: list[Fact] = [TOLD.held(week, 20 if week % 2 else 50) for week in range(-8, 0)]

    assert signs([*rated(9, 9, 9, 9), *cut_short]) == {"withdrawal"}
    assert signs([*rated(9, 9, 9, 9), *cut_short[:2]]) == set()
    assert signs([*often, *rated(9, 9, 9, 9), *cut_short[:2], TOLD.held(6, 20)]) == set()


def test_silence_is_a_sign_only_where_answers_were_usual() -> None:
    quiet = [event for week in range(8) for event in (TOLD.held(week), TOLD.lapsed(week))]

    assert signs(quiet) == set()
    assert signs([*rated(9, 9, 9, 9, 9), TOLD.missed(5), TOLD.held(6), TOLD.lapsed(6), TOLD.missed(7)]) == {
        "withdrawal"
    }


def test_client_and_clinician_who_come_to_see_it_differently_are_apart() -> None:
    agreed = [
        event for week in range(4) for event in (TOLD.held(week), TOLD.felt(week, 8), TOLD.felt(week, 8, "clinician"))
    ]

    assert "apart" in signs([*agreed, TOLD.held(4), TOLD.felt(4, 5, "clinician"), TOLD.felt(4, 8.5)])


def test_ratings_that_never_vary_are_no_sign() -> None:
    assert signs(rated(*[10.0] * 30)) == set()
    assert signs(rated(*[0.0] * 2)) == set()


def test_an_always_low_relationship_is_fine_with_itself() -> None:
    assert after(rated(*[5.0] * 12)).open is None


def test_a_rupture_does_not_become_what_is_usual() -> None:
    """Six sessions deep in a rupture the seventh is as surprising as the first was."""
    alliance = after(rated(*[9.0] * 8, *[5.0] * 7))

    assert alliance.open is not None
    assert alliance.client.usual == 8


def test_two_ratings_within_the_own_range_repair_an_episode() -> None:
    ruptured = [*rated(*[9.0] * 8), *rated(5, first=8)]

    alliance = after([*ruptured, *rated(9, 9, first=9)])

    assert alliance.open is None
    assert alliance.closed is not None
    assert alliance.closed.id == opened(ruptured).id


def test_coming_back_repairs_what_only_absence_spoke_for() -> None:
    away = [*rated(9, 9, 9), TOLD.missed(3), TOLD.missed(4)]

    assert after([*away, TOLD.held(5), TOLD.lapsed(5), TOLD.held(6)]).open is None


def test_an_amended_answer_retracts_what_it_had_caused() -> None:
    mistake = [*rated(*[9.0] * 8), TOLD.held(8), TOLD.felt(8, 1)]

    alliance = after([*mistake, TOLD.amended(8, 9)])

    assert alliance.open is None
    assert alliance.retracted is not None
    assert (alliance.retracted.episode.id, alliance.retracted.reason) == (opened(mistake).id, "amended")


def test_a_repaired_episode_is_not_retracted_by_an_amendment_elsewhere() -> None:
    repaired = [*rated(*[9.0] * 8), *rated(5, 9, 9, 9, first=8)]

    alliance = after([*repaired, TOLD.amended(2, 8.5, days_later=200)])

    assert alliance.closed is not None
    assert alliance.retracted is None


@pytest.mark.parametrize("reason", ["ended", "consent_withdrawn"])
def test_the_end_and_withdrawn_consent_close_what_is_open(reason: str) -> None:
    ruptured = [*rated(*[9.0] * 8), *rated(5, first=8)]
    last = TOLD.ended(8.5) if reason == "ended" else TOLD.consent(8.5, given=False)

    alliance = after([*ruptured, last, TOLD.felt(9, 1)])

    assert alliance.open is None
    assert alliance.retracted is not None
    assert alliance.retracted.reason == reason


def test_what_is_said_without_consent_is_not_scored() -> None:
    events = [*rated(9, 9), TOLD.consent(1.5, given=False), *rated(1, first=2)]

    assert after(events).client.ratings == 2


def test_an_unknown_instrument_gives_no_rating_and_no_error() -> None:
    alliance = after([TOLD.held(0), TOLD.measured(0, "unheard-of", 12)])

    assert (alliance.client.ratings, alliance.answered) == (0, 1)


def test_an_instrument_is_read_within_its_range() -> None:
    assert after([TOLD.held(0), TOLD.measured(0, "srs", 36)]).client.rolling == 90


def test_an_answer_given_twice_counts_once() -> None:
    twice = TOLD.felt(0, 9).model_copy(update={"id": TOLD.session(99)})

    assert after([TOLD.held(0), TOLD.felt(0, 9), twice]).client.ratings == 1


def test_a_late_answer_takes_the_place_of_silence() -> None:
    """The answer was given in time and entered late: the lapse that was told meanwhile says nothing."""
    alliance = after([*rated(9, 9, 9, 9), TOLD.held(4), TOLD.felt(4, 9), TOLD.lapsed(4)])

    assert alliance.lapsed == 0


def test_of_an_erased_client_nothing_is_left_whenever_it_is_told() -> None:
    alliance = after([*rated(*[9.0] * 3), TOLD.erased(1.5), *rated(2, first=3)])

    assert alliance == Alliance(last=alliance.last, erasure=TOLD.erased(1.5).id)
