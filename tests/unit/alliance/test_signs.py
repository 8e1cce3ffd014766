"""Which ratings, answers and absences are a sign of a rupture, and which are not."""

import pytest

from services.alliance.domain.detection import components
from services.alliance.domain.state.history import HistoryEvent
from shared.events import TalkedAbout, Tension
from tests.support.builders import ELEMENTS
from tests.unit.alliance.rated_relationship import (
    BUILDER,
    detected_signs,
    fold_events,
    open_episode,
    rated_sessions,
)

NINES = dict.fromkeys(ELEMENTS, 9.0)


def test_a_relationship_is_compared_with_its_own_baseline() -> None:
    warm, cool = rated_sessions(*[9.0] * 8), rated_sessions(*[6.5] * 8)

    assert "sudden_drop" in detected_signs([*warm, *rated_sessions(6.5, first=8)])
    assert detected_signs([*cool, *rated_sessions(6.5, first=8)]) == set()


def test_the_first_rating_is_no_drop() -> None:
    """There is nothing yet from which it could have come down."""
    assert detected_signs(rated_sessions(4.5)) == set()
    assert detected_signs(rated_sessions(2)) == {"at_floor"}


def test_the_second_rating_can_already_be_a_sign() -> None:
    assert detected_signs(rated_sessions(9.5, 5)) == {"sudden_drop"}


def test_a_slide_is_detected_although_no_single_rating_is_alarming() -> None:
    assert "sustained_slide" in detected_signs(rated_sessions(9, 9, 9, 9, 9, 9, 8.5, 8.2, 8, 7.8, 7.6, 7.5))


def test_a_slide_is_at_least_three_ratings_in_a_row() -> None:
    usual = rated_sessions(*[8.5, 9.0] * 4)

    assert "sustained_slide" not in detected_signs([*usual, *rated_sessions(7.9, 7.4, first=8)])
    assert "sustained_slide" in detected_signs([*usual, *rated_sessions(7.9, 7.9, 7.4, first=8)])
    assert "sustained_slide" not in detected_signs([*usual, *rated_sessions(7.9, 9, 7.9, 7.4, first=8)])


def trust_fell(usual_sessions: int, to: float = 4, times: int = 2) -> list[HistoryEvent]:
    """Trust falls while all other elements stay as they were."""
    weeks = range(usual_sessions, usual_sessions + times)
    fallen = [event for week in weeks for event in (BUILDER.completed(week), BUILDER.feedback(week, 9, trust=to))]
    return [*rated_sessions(*[9.0] * usual_sessions), *fallen]


def test_a_single_element_that_stays_lower_is_a_sign_although_the_rest_is_as_usual() -> None:
    """One point less is within what elements rated in whole numbers vary by."""
    assert "element_drop" in detected_signs(trust_fell(8, to=6))
    assert detected_signs(trust_fell(8, to=8, times=1)) == set()


def test_an_element_is_compared_as_soon_as_it_was_rated_before() -> None:
    first: list[HistoryEvent] = [BUILDER.completed(0), BUILDER.feedback(0, 9, trust=4)]

    assert detected_signs(first) == set()
    assert "element_drop" in detected_signs(trust_fell(2))


def test_elements_that_fell_together_are_named_together_at_most_three_of_them() -> None:
    two, four = ({"trust": 4.0, "fit": 4.5}, {"trust": 4.0, "fit": 4.2, "respect": 4.4, "guidance": 4.6})

    def named(elements: dict[str, float]) -> set[str | None]:
        answers = [BUILDER.feedback(week, 9).model_copy(update={"ratings": {**NINES, **elements}}) for week in (8, 9)]
        events = [*rated_sessions(*[9.0] * 8), BUILDER.completed(8), answers[0], BUILDER.completed(9), answers[1]]
        return {sign.element for sign in open_episode(events).evidence if sign.detector == "element_drop"}

    assert named(two) == {"trust", "fit"}
    assert named({"trust": 4.0, "fit": 8.5}) == {"trust"}
    assert len(named(four)) == 3


def test_the_numbers_of_an_element_are_its_own() -> None:
    (sign,) = (sign for sign in open_episode(trust_fell(8, to=5)).evidence if sign.detector == "element_drop")

    assert sign.element == "trust"
    assert (sign.numbers["rating"], sign.numbers["rest"], sign.numbers["session"]) == (50, 90, 10)
    assert sign.numbers["own"] == 9
    assert sign.numbers["expected"] == pytest.approx(90, abs=2)
    assert sign.numbers["low"] < sign.numbers["expected"] < sign.numbers["high"] < 100


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
    spoken = open_episode([*before, BUILDER.feedback(3, 9, tension="yes", talked_about="partly")])

    assert unspoken.evidence[0].strength > spoken.evidence[0].strength >= 1


@pytest.mark.parametrize(
    ("tension", "strengths"), [("yes", [1.5, 1.2, 0.8]), ("a_little", [1.1, 0.8, 0.5])], ids=["a tension", "a little"]
)
def test_a_reported_tension_is_the_stronger_a_sign_the_less_it_was_talked_about(
    tension: Tension, strengths: list[float]
) -> None:
    """It is worth watching at any probability from strength 1 on; a weaker one is remembered for the next session."""
    before = [*rated_sessions(9, 9, 9), BUILDER.completed(3)]
    answers: tuple[TalkedAbout, ...] = ("not", "partly", "yes")
    alliances = [fold_events([*before, BUILDER.feedback(3, 9, tension=tension, talked_about=a)]) for a in answers]

    signs = [alliance.open_episode.evidence if alliance.open_episode else alliance.signs for alliance in alliances]

    assert [sign.strength for (sign,) in signs] == strengths
    assert [alliance.open_episode is not None for alliance in alliances] == [strength >= 1 for strength in strengths]


def test_only_the_clients_report_is_worth_watching_at_any_probability() -> None:
    """A clinician who reports a tension knows of it."""
    before = [*rated_sessions(9, 9, 9), BUILDER.completed(3)]
    clients = BUILDER.feedback(3, 9, tension="yes", talked_about="not")
    clinicians = BUILDER.feedback(3, 9, "clinician", tension="yes", talked_about="not")

    assert open_episode([*before, clients]).severity == "watch"
    assert fold_events([*before, clinicians, BUILDER.feedback(3, 9)]).open_episode is None


def test_a_client_who_always_reports_a_tension_gives_no_sign_by_it_after_a_while() -> None:
    reports = [BUILDER.feedback(week, 9, tension="yes", talked_about="not") for week in range(20)]

    assert "told_directly" in detected_signs(reports[:1])
    assert detected_signs(reports[:16]) == detected_signs(reports) == set()
    assert "told_directly" in detected_signs([*rated_sessions(*[9.0] * 19), reports[19]])


def test_three_missed_sessions_in_a_row_are_a_sign() -> None:
    absences = [BUILDER.missed(week) for week in range(8, 11)]

    assert detected_signs([*rated_sessions(*[9.0] * 8), *absences[:2]]) == set()
    assert detected_signs([*rated_sessions(*[9.0] * 8), *absences]) == {"withdrawal"}


def test_a_client_who_often_misses_is_no_sign_by_missing_again() -> None:
    often = [BUILDER.completed(week) if week % 2 else BUILDER.missed(week) for week in range(20)]

    assert detected_signs([*often, BUILDER.missed(20), BUILDER.missed(21)]) == set()


def test_sessions_cut_short_are_a_sign_together_with_a_missed_one_unless_they_are_usual() -> None:
    usual = rated_sessions(*[9.0] * 8)
    cut_short: list[HistoryEvent] = [BUILDER.completed(8, 20), BUILDER.completed(9, 20), BUILDER.missed(10)]
    often: list[HistoryEvent] = [BUILDER.completed(week, 20 if week % 2 else 50) for week in range(-8, 0)]

    assert detected_signs([*usual, *cut_short]) == {"withdrawal"}
    assert detected_signs([*usual, *cut_short[:2]]) == set()
    assert detected_signs([*often, *usual, *cut_short[:2], BUILDER.completed(10, 20)]) == set()


def test_a_cancellation_is_late_from_24_hours_before_the_session_on() -> None:
    usual = rated_sessions(*[9.0] * 8)

    assert detected_signs([*usual, *(BUILDER.cancelled(week, 23.9) for week in (8, 9, 10))]) == {"withdrawal"}
    assert fold_events([*usual, BUILDER.cancelled(8, 24)]).components == fold_events(usual).components


def test_a_session_that_was_cut_short_is_named() -> None:
    cut_short = [BUILDER.completed(week, 20) for week in range(8, 11)]

    signs = fold_events([*rated_sessions(*[9.0] * 8), *cut_short]).signs

    assert [sign.numbers["cut_short"] for sign in signs] == [1]


def silent_sessions(*weeks: int) -> list[HistoryEvent]:
    return [event for week in weeks for event in (BUILDER.completed(week), BUILDER.lapsed(week))]


def test_a_client_who_usually_answers_and_falls_silent_is_a_sign_although_every_rating_was_usual() -> None:
    usual = rated_sessions(*[9.0] * 12)

    assert detected_signs([*usual, *silent_sessions(12)]) == set()
    assert open_episode([*usual, *silent_sessions(12, 13, 14, 15)]).severity == "concern"
    assert detected_signs([*usual, *silent_sessions(12, 13, 14, 15)]) == {"withdrawal"}


def test_silence_is_no_sign_if_it_is_usual() -> None:
    seldom = [
        event
        for week in range(15)
        for event in (rated_sessions(9, first=week) if week % 3 == 0 else silent_sessions(week))
    ]

    assert detected_signs(silent_sessions(*range(8))) == set()
    assert detected_signs([*seldom, *silent_sessions(15, 16, 17)]) == set()


def rated_by_both(sessions: int, client: float, clinician: float, usual: float = 8) -> list[HistoryEvent]:
    """So many sessions that both rated alike, and one that they did not."""
    pairs = [*[(usual, usual)] * sessions, (client, clinician)]
    return [
        event
        for week, (clients, clinicians) in enumerate(pairs)
        for event in (
            BUILDER.completed(week),
            BUILDER.feedback(week, clinicians, "clinician"),
            BUILDER.feedback(week, clients),
        )
    ]


def test_a_client_who_rates_lower_while_the_clinician_rates_higher_is_a_sign() -> None:
    """Divergence: more than the client's rating alone shows."""
    apart, alike = (fold_events(rated_by_both(6, 6.8, clinician)) for clinician in (9.5, 8))

    assert "apart" in detected_signs(rated_by_both(6, 6, 9.5))
    assert apart.components[components.DIVERGENCE] > 2 * alike.components[components.DIVERGENCE]
    assert "apart" not in detected_signs(rated_by_both(6, 6, 6))


def test_a_usual_difference_is_no_sign() -> None:
    usual = [
        event
        for week in range(12)
        for event in (
            BUILDER.completed(week),
            BUILDER.feedback(week, 9, "clinician"),
            BUILDER.feedback(week, 6.5),
        )
    ]

    assert detected_signs(usual) == set()


def test_the_numbers_of_a_difference_are_both_ratings_and_the_usual_one() -> None:
    signs = [sign for sign in open_episode(rated_by_both(6, 6, 9.5)).evidence if sign.detector == "apart"]

    assert [sign.numbers for sign in signs] == [
        {"client": 60, "clinician": 95, "usual": 0, "session": 7, "hours_after_session": 2}
    ]
    assert "apart" not in detected_signs(rated_by_both(0, 6, 9.5))  # there is no usual difference yet


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
    assert detected_signs(rated_sessions(*[4.5] * 30)) == set()


def test_ratings_that_were_always_low_are_no_sign() -> None:
    assert fold_events(rated_sessions(*[5.0] * 12)).open_episode is None
