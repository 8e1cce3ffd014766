"""Which ratings, answers and absences are a sign of a rupture, and which are not."""

import pytest

from services.alliance.domain.state.history import HistoryEvent
from shared.events import TalkedAbout, Tension
from tests.unit.alliance.rated_relationship import BUILDER, detected_signs, fold_events, open_episode, rated_sessions


def test_a_relationship_is_compared_with_its_own_baseline() -> None:
    warm, cool = rated_sessions(*[9.0] * 8), rated_sessions(*[6.5] * 8)

    assert "sudden_drop" in detected_signs([*warm, *rated_sessions(6.5, first=8)])
    assert detected_signs([*cool, *rated_sessions(6.5, first=8)]) == set()


def test_the_first_rating_is_no_sign_however_low() -> None:
    assert detected_signs(rated_sessions(2)) == set()


def test_the_second_rating_can_already_be_a_sign() -> None:
    assert detected_signs(rated_sessions(9.5, 5)) == {"sudden_drop"}


def test_a_slide_is_detected_although_no_single_rating_is_alarming() -> None:
    assert "sustained_slide" in detected_signs(rated_sessions(9, 9, 9, 9, 9, 9, 8.5, 8.2, 8, 7.8, 7.6, 7.5))


def test_a_slide_is_at_least_three_ratings_in_a_row() -> None:
    usual = rated_sessions(*[8.5, 9.0] * 4)

    assert "sustained_slide" not in detected_signs([*usual, *rated_sessions(7.9, 7.4, first=8)])
    assert "sustained_slide" in detected_signs([*usual, *rated_sessions(7.9, 7.9, 7.4, first=8)])
    assert "sustained_slide" not in detected_signs([*usual, *rated_sessions(7.9, 9, 7.9, 7.4, first=8)])


def test_a_level_that_falls_below_sixty_is_a_sign_once() -> None:
    """From the third rating on; a level that stays low is nothing new."""
    above = fold_events(rated_sessions(6, 6, 6))
    below = open_episode(rated_sessions(6, 6, 5.9))

    assert (above.client.rolling_score, above.open_episode) == (60, None)
    assert [sign.detector for sign in below.evidence] == ["low_level"]
    assert below.evidence[0].numbers == {"level": 59.6, "threshold": 60, "session": 3}
    assert below.severity == "watch"
    assert detected_signs(rated_sessions(5, 5)) == set()
    assert open_episode(rated_sessions(5, 5, 5, 4.9)).change_count == 0


def test_a_single_element_is_a_sign_from_twenty_five_points_on() -> None:
    """In a relationship whose elements never differed, three spreads are fewer points than that."""
    usual = [*rated_sessions(*[9.0] * 12), BUILDER.completed(12)]

    assert "element_drop" in detected_signs([*usual, BUILDER.feedback(12, 9, trust=6.5)])
    assert detected_signs([*usual, BUILDER.feedback(12, 9, trust=8)]) == set()


def test_an_element_is_compared_from_the_third_answer_on() -> None:
    assert "element_drop" not in detected_signs(
        [*rated_sessions(9), BUILDER.completed(1), BUILDER.feedback(1, 9, trust=4)]
    )
    assert "element_drop" in detected_signs(
        [*rated_sessions(9, 9), BUILDER.completed(2), BUILDER.feedback(2, 9, trust=4)]
    )


def test_the_numbers_of_an_element_are_its_own() -> None:
    critical = BUILDER.feedback(8, 9, trust=3)
    (sign,) = (
        sign
        for sign in open_episode([*rated_sessions(*[9.0] * 8), BUILDER.completed(8), critical]).evidence
        if sign.element
    )

    assert (sign.numbers["rating"], sign.numbers["rest"], sign.numbers["session"]) == (30, 90, 9)
    assert sign.numbers["low"] < sign.numbers["expected"] < sign.numbers["high"] < 100
    assert sign.numbers["expected"] == pytest.approx(90, abs=0.1)


def test_a_drop_of_a_single_element_is_reported_with_the_element() -> None:
    critical = BUILDER.feedback(6, 9, non_judgment=4)

    episode = open_episode([*rated_sessions(*[9.0] * 6), BUILDER.completed(6), critical])

    assert [(sign.detector, sign.element) for sign in episode.evidence if sign.element] == [
        ("element_drop", "non_judgment")
    ]


def test_evidence_holds_whether_a_tension_was_talked_about_only_if_that_was_said() -> None:
    before = [*rated_sessions(9, 9, 9), BUILDER.completed(3)]
    said = open_episode([*before, BUILDER.feedback(3, 9, tension="yes", talked_about="partly")]).evidence
    left_open = open_episode([*before, BUILDER.feedback(3, 9, tension="yes")]).evidence

    assert [sign.numbers.get("talked_about") for sign in said] == [1]
    assert [sign.numbers.get("talked_about") for sign in left_open] == [None]
    assert [sign.strength for sign in left_open] == [sign.strength for sign in said]


def test_tension_that_was_not_talked_about_weighs_more_than_tension_that_was() -> None:
    before = [*rated_sessions(9, 9, 9), BUILDER.completed(3)]

    unspoken = open_episode([*before, BUILDER.feedback(3, 9, tension="yes", talked_about="not")])
    spoken = open_episode([*before, BUILDER.feedback(3, 9, tension="yes", talked_about="yes")])

    assert unspoken.evidence[0].strength > spoken.evidence[0].strength >= 1


@pytest.mark.parametrize(
    ("tension", "strengths"), [("yes", [1.5, 1.2, 1.0]), ("a_little", [1.1, 0.8, 0.5])], ids=["a tension", "a little"]
)
def test_a_reported_tension_is_the_stronger_a_sign_the_less_it_was_talked_about(
    tension: Tension, strengths: list[float]
) -> None:
    """It opens an episode from strength 1 on; a weaker one is remembered for the next session."""
    before = [*rated_sessions(9, 9, 9), BUILDER.completed(3)]
    answers: tuple[TalkedAbout, ...] = ("not", "partly", "yes")
    alliances = [fold_events([*before, BUILDER.feedback(3, 9, tension=tension, talked_about=a)]) for a in answers]

    signs = [alliance.open_episode.evidence if alliance.open_episode else alliance.signs for alliance in alliances]

    assert [sign.strength for (sign,) in signs] == strengths
    assert [alliance.open_episode is not None for alliance in alliances] == [strength >= 1 for strength in strengths]


def test_two_missed_sessions_in_a_row_are_a_sign() -> None:
    assert detected_signs([*rated_sessions(9, 9, 9), BUILDER.missed(3)]) == set()
    assert detected_signs([*rated_sessions(9, 9, 9), BUILDER.missed(3), BUILDER.missed(4)]) == {"withdrawal"}


def test_shortened_sessions_are_a_sign_together_with_a_missed_one_unless_they_are_usual() -> None:
    cut_short: list[HistoryEvent] = [BUILDER.completed(4, 20), BUILDER.completed(5, 20), BUILDER.missed(6)]
    often: list[HistoryEvent] = [BUILDER.completed(week, 20 if week % 2 else 50) for week in range(-8, 0)]

    assert detected_signs([*rated_sessions(9, 9, 9, 9), *cut_short]) == {"withdrawal"}
    assert detected_signs([*rated_sessions(9, 9, 9, 9), *cut_short[:2]]) == set()
    assert detected_signs([*often, *rated_sessions(9, 9, 9, 9), *cut_short[:2], BUILDER.completed(6, 20)]) == set()


def test_withdrawal_names_what_was_missed_lately_and_what_came_last() -> None:
    absent = [*rated_sessions(9, 9, 9, 9), BUILDER.missed(4), BUILDER.cancelled(5, 3)]

    def last_numbers(*events: HistoryEvent) -> dict[str, float]:
        alliance = fold_events([*absent, *events])
        (sign,) = alliance.open_episode.evidence if alliance.open_episode else alliance.signs
        return {name: number for name, number in sign.numbers.items() if name != "session"}

    nothing = {"missed": 1, "cancelled_late": 1, "cut_short": 0, "silent": 0}
    assert last_numbers(BUILDER.missed(6)) == nothing | {"missed": 2}
    assert last_numbers(BUILDER.completed(6, 20)) == nothing | {"cut_short": 1}
    assert last_numbers(BUILDER.lapsed(6)) == nothing | {"silent": 1}


def test_silence_is_a_sign_only_if_answers_were_usual() -> None:
    quiet = [event for week in range(8) for event in (BUILDER.completed(week), BUILDER.lapsed(week))]

    assert detected_signs(quiet) == set()
    assert detected_signs(
        [*rated_sessions(9, 9, 9, 9, 9), BUILDER.missed(5), BUILDER.completed(6), BUILDER.lapsed(6), BUILDER.missed(7)]
    ) == {"withdrawal"}


def test_a_new_difference_between_client_and_clinician_is_a_sign() -> None:
    agreed = [
        event
        for week in range(4)
        for event in (BUILDER.completed(week), BUILDER.feedback(week, 8), BUILDER.feedback(week, 8, "clinician"))
    ]

    assert "apart" in detected_signs(
        [*agreed, BUILDER.completed(4), BUILDER.feedback(4, 5, "clinician"), BUILDER.feedback(4, 8.5)]
    )


def test_raters_are_compared_from_the_fourth_session_on_that_both_rated() -> None:
    def rated_by_both(sessions: int) -> list[HistoryEvent]:
        usual = [(week, 8.0, 8.0) for week in range(sessions)]
        return [
            event
            for week, client, clinician in [*usual, (sessions, 8.5, 5.0)]
            for event in (
                BUILDER.completed(week),
                BUILDER.feedback(week, clinician, "clinician"),
                BUILDER.feedback(week, client),
            )
        ]

    assert "apart" not in detected_signs(rated_by_both(2))
    assert "apart" in detected_signs(rated_by_both(3))
    (sign,) = (sign for sign in open_episode(rated_by_both(6)).evidence if sign.detector == "apart")
    assert sign.numbers == {"client": 85, "clinician": 50, "usual": 0, "session": 7}


def test_a_clinicians_answer_waits_for_the_clients() -> None:
    """Until it has arrived or lapsed, the clinician's rating alone opens no episode."""
    usual = [
        event
        for week in range(8)
        for event in (BUILDER.completed(week), BUILDER.feedback(week, 9), BUILDER.feedback(week, 9, "clinician"))
    ]
    answered = [*usual, BUILDER.completed(8), BUILDER.feedback(8, 2, "clinician")]
    alarmed = [*answered, BUILDER.feedback(8, 5)]

    assert fold_events(answered).open_episode is None
    assert {sign.detector for sign in fold_events(answered).signs} == {"clinician_drop"}
    assert detected_signs(alarmed) >= {"clinician_drop", "sudden_drop"}
    assert fold_events(alarmed).signs == ()


def test_only_the_last_four_appointments_are_remembered() -> None:
    alliance = fold_events([BUILDER.completed(week) for week in range(6)])

    assert [session.number for session in alliance.recent_sessions] == [3, 4, 5, 6]


def test_ratings_that_never_vary_are_no_sign() -> None:
    assert detected_signs(rated_sessions(*[10.0] * 30)) == set()
    assert detected_signs(rated_sessions(*[0.0] * 2)) == set()


def test_ratings_that_were_always_low_are_no_sign() -> None:
    assert fold_events(rated_sessions(*[5.0] * 12)).open_episode is None
