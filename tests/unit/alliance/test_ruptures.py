"""Which signs of a rupture are detected, and which ratings are no sign."""

from collections.abc import Iterable, Iterator

import pytest

from services.alliance.domain.detection.detectors import Observation
from services.alliance.domain.detection.session_updates import detect_signs
from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policy
from services.alliance.domain.state.alliance import Alliance, Episode, Session
from services.alliance.domain.state.history import HistoryEvent
from shared.events import Evidence, TalkedAbout, Tension
from tests.support.builders import RelationshipBuilder

BUILDER = RelationshipBuilder()
START_EVENTS: tuple[HistoryEvent, ...] = (BUILDER.started(), BUILDER.consent_changed(-0.5, given=True))


def rated_sessions(*ratings: float, first: int = 0) -> list[HistoryEvent]:
    """One held and rated session a week."""
    return [
        event
        for week, rating in enumerate(ratings, start=first)
        for event in (BUILDER.completed(week), BUILDER.feedback(week, rating))
    ]


def fold_events(events: Iterable[HistoryEvent]) -> Alliance:
    return fold([*START_EVENTS, *events], DEFAULT_POLICY)


def detected_signs(events: Iterable[HistoryEvent]) -> set[str]:
    episode = fold_events(events).open_episode
    return {sign.detector for sign in episode.evidence} if episode else set()


def open_episode(events: Iterable[HistoryEvent]) -> Episode:
    episode = fold_events(events).open_episode
    assert episode is not None
    return episode


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


def test_signs_of_earlier_sessions_are_dropped_once_the_probability_is_low_again() -> None:
    weak = [*rated_sessions(*[9.0, 8.5] * 4), *rated_sessions(8.0, first=8)]

    assert fold_events(weak).signs != ()
    assert fold_events([*weak, *rated_sessions(9, 9, 9, first=9)]).signs == ()


def test_ratings_that_never_vary_are_no_sign() -> None:
    assert detected_signs(rated_sessions(*[10.0] * 30)) == set()
    assert detected_signs(rated_sessions(*[0.0] * 2)) == set()


def test_ratings_that_were_always_low_are_no_sign() -> None:
    assert fold_events(rated_sessions(*[5.0] * 12)).open_episode is None


def test_weak_signs_that_add_up_are_reported_by_the_strongest_of_them() -> None:
    """Each is too weak to be mentioned beside others, and there are no others."""
    policy = Policy(concern=0.06, withdrawal=100)
    absences = [BUILDER.missed(week) for week in range(3)]
    first = fold([*START_EVENTS, *absences[:2]], policy).open_episode
    later = fold([*START_EVENTS, *absences], policy).open_episode

    assert first is not None
    assert [sign.detector for sign in first.evidence] == ["withdrawal"]
    assert first.first_sign_at == absences[1].occurred_at
    assert later == first  # another weak sign adds nothing to what is known already


def reported_strengths(*strengths: float) -> list[float]:
    """The strengths of the signs that are reported, of those that are detected when a rupture is likely."""
    event, likely = BUILDER.feedback(0), Alliance(has_consent=True, rupture_probability=0.8)
    observation = Observation(event, Session(event.session_id, event.occurred_at), likely, likely, DEFAULT_POLICY)

    def detect_all(observation: Observation) -> Iterator[Evidence]:
        for number, strength in enumerate(strengths):
            yield observation.create_evidence(f"detector_{number}", strength)

    episode = detect_signs(observation, [detect_all]).open_episode
    return [sign.strength for sign in episode.evidence] if episode else []


def test_a_sign_below_a_fifth_of_what_opens_an_episode_is_reported_only_if_there_is_no_other() -> None:
    assert reported_strengths(0.2, 0.5, 0.19) == [0.2, 0.5]
    assert reported_strengths(0.1, 0.19, 0.15) == [0.19]
    assert reported_strengths() == []


def test_a_form_that_lapsed_counts_although_its_session_is_not_known_yet() -> None:
    alliance = fold_events([*rated_sessions(9, 9, 9), BUILDER.lapsed(3)])

    assert (alliance.feedback_lapsed, alliance.sessions) == (1, 3)
    assert fold_events([*rated_sessions(9, 9, 9), BUILDER.completed(3), BUILDER.lapsed(3)]).feedback_lapsed == 1


def test_a_clinicians_answer_by_an_unknown_instrument_reports_a_tension_and_no_rating() -> None:
    answer = BUILDER.instrument_total(3, "unheard-of", 12).model_copy(
        update={"rater": "clinician", "tension": "yes", "talked_about": "not"}
    )

    alliance = fold_events([*rated_sessions(9, 9, 9), BUILDER.completed(3), answer])

    assert (alliance.clinician.ratings, alliance.clinician.baseline_count) == (0, 0)
    assert alliance.open_episode is not None
    assert [sign.detector for sign in alliance.open_episode.evidence] == ["told_directly"]


def test_a_rupture_does_not_become_part_of_the_baseline() -> None:
    """After six sessions of a rupture the seventh is as surprising as the first."""
    alliance = fold_events(rated_sessions(*[9.0] * 8, *[5.0] * 7))

    assert alliance.open_episode is not None
    assert alliance.client.baseline_count == 8


def test_two_ratings_within_the_own_range_repair_an_episode() -> None:
    ruptured = [*rated_sessions(*[9.0] * 8), *rated_sessions(5, first=8)]

    alliance = fold_events([*ruptured, *rated_sessions(9, 9, first=9)])

    assert alliance.open_episode is None
    assert alliance.last_repaired is not None
    assert alliance.last_repaired.id == open_episode(ruptured).id


def test_a_rating_below_the_own_range_starts_the_repair_anew() -> None:
    ruptured = [*rated_sessions(*[9.0] * 8), *rated_sessions(5, 9, first=8)]

    assert open_episode(ruptured).calm_ratings == 1
    assert open_episode([*ruptured, *rated_sessions(8.3, first=10)]).calm_ratings == 0
    assert fold_events([*ruptured, *rated_sessions(9, first=10)]).open_episode is None


def test_after_a_repair_the_probability_and_the_withdrawal_start_anew() -> None:
    alliance = fold_events([*rated_sessions(*[9.0] * 8), BUILDER.missed(8), *rated_sessions(5, 9, 9, first=9)])

    assert alliance.last_repaired is not None
    assert (alliance.rupture_probability, alliance.withdrawal) == (0, 0)
    assert alliance.client.below_expected_streak == 0
    assert alliance.last_repaired.closed_at == BUILDER.feedback(11).occurred_at


def test_the_severity_of_an_open_episode_never_falls() -> None:
    urgent = open_episode([*rated_sessions(*[9.0] * 8), *rated_sessions(3, 3, first=8)])
    later = open_episode([*rated_sessions(*[9.0] * 8), *rated_sessions(3, 3, 9, first=8), BUILDER.missed(11)])

    assert (urgent.severity, later.severity) == ("urgent", "urgent")


def test_attending_again_repairs_an_episode_of_absence_only() -> None:
    away = [*rated_sessions(9, 9, 9), BUILDER.missed(3), BUILDER.missed(4)]

    assert fold_events([*away, BUILDER.completed(5), BUILDER.lapsed(5), BUILDER.completed(6)]).open_episode is None


def test_an_amended_answer_retracts_the_episode_that_it_had_caused() -> None:
    mistake = [*rated_sessions(*[9.0] * 8), BUILDER.completed(8), BUILDER.feedback(8, 1)]

    alliance = fold_events([*mistake, BUILDER.amended(8, 9)])

    assert alliance.open_episode is None
    assert alliance.last_retraction is not None
    assert (alliance.last_retraction.episode.id, alliance.last_retraction.reason) == (
        open_episode(mistake).id,
        "amended",
    )


@pytest.mark.parametrize(("later_amendments", "is_known"), [(7, True), (8, False)])
def test_only_the_last_eight_amendments_are_checked_for_a_retraction(later_amendments: int, is_known: bool) -> None:
    mistake = [*rated_sessions(*[9.0] * 8), BUILDER.completed(8), BUILDER.feedback(8, 1), BUILDER.amended(8, 9)]
    later = [BUILDER.amended(week, 8.9, days_later=100 + week) for week in range(later_amendments)]

    assert (fold_events([*mistake, *later]).last_retraction is not None) == is_known


def test_a_repaired_episode_is_not_retracted_by_an_unrelated_amendment() -> None:
    repaired = [*rated_sessions(*[9.0] * 8), *rated_sessions(5, 9, 9, 9, first=8)]

    alliance = fold_events([*repaired, BUILDER.amended(2, 8.5, days_later=200)])

    assert alliance.last_repaired is not None
    assert alliance.last_retraction is None


@pytest.mark.parametrize("reason", ["ended", "consent_withdrawn"])
def test_the_end_and_withdrawn_consent_retract_the_open_episode(reason: str) -> None:
    ruptured = [*rated_sessions(*[9.0] * 8), *rated_sessions(5, first=8)]
    last = BUILDER.ended(8.5) if reason == "ended" else BUILDER.consent_changed(8.5, given=False)

    alliance = fold_events([*ruptured, last, BUILDER.feedback(9, 1)])

    assert alliance.open_episode is None
    assert alliance.last_retraction is not None
    assert alliance.last_retraction.reason == reason


def test_answers_without_consent_are_not_scored() -> None:
    events = [*rated_sessions(9, 9), BUILDER.consent_changed(1.5, given=False), *rated_sessions(1, first=2)]

    assert fold_events(events).client.ratings == 2


def test_an_unknown_instrument_gives_no_rating_and_no_error() -> None:
    alliance = fold_events([BUILDER.completed(0), BUILDER.instrument_total(0, "unheard-of", 12)])

    assert (alliance.client.ratings, alliance.feedback_received) == (0, 1)


def test_an_instrument_total_is_scaled_to_its_range() -> None:
    assert fold_events([BUILDER.completed(0), BUILDER.instrument_total(0, "srs", 36)]).client.rolling_score == 90


def test_an_answer_given_twice_counts_once() -> None:
    twice = BUILDER.feedback(0, 9).model_copy(update={"id": BUILDER.session_id(99)})

    assert fold_events([BUILDER.completed(0), BUILDER.feedback(0, 9), twice]).client.ratings == 1


def test_an_answer_replaces_the_lapse_of_the_same_form() -> None:
    """The answer was given in time and entered late, so the lapse published in between does not count."""
    alliance = fold_events(
        [*rated_sessions(9, 9, 9, 9), BUILDER.completed(4), BUILDER.feedback(4, 9), BUILDER.lapsed(4)]
    )

    assert alliance.feedback_lapsed == 0


def test_nothing_remains_of_an_erased_client_whenever_the_erasure_arrives() -> None:
    alliance = fold_events([*rated_sessions(*[9.0] * 3), BUILDER.erased(1.5), *rated_sessions(2, first=3)])

    assert alliance == Alliance(last_event_key=alliance.last_event_key, erasure_id=BUILDER.erased(1.5).id)
