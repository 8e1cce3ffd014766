"""The world is a pure function of its seed, and contains every case that the smoke test and the demo need."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from tools.sandbox.network.answers import MIN_CORRECTION_AGE
from tools.sandbox.network.course import ELEMENTS, Course, Rupture, Session, SimulatedAnswer, severe_reason
from tools.sandbox.network.parameters import Parameters
from tools.sandbox.network.world import World

TODAY = datetime(2026, 11, 24, 12, tzinfo=UTC)
PARAMETERS = Parameters(relationships=40, rupture_probability=0.6, transfer_share=0.5)

seeds = st.integers(min_value=0, max_value=10_000)


def courses(seed: int) -> list[Course]:
    return [course for first in World(seed, TODAY, PARAMETERS).courses for course in first.with_successors()]


@settings(max_examples=4, deadline=None)
@given(seed=seeds)
def test_the_same_seed_gives_the_same_world(seed: int) -> None:
    assert courses(seed) == courses(seed)
    assert courses(seed) != courses(seed + 1)


@settings(max_examples=4, deadline=None)
@given(seed=seeds)
def test_a_world_that_ends_a_day_later_has_the_same_ruptures(seed: int) -> None:
    """A world that contains the cases a test needs contains them tomorrow as well."""
    tomorrow = World(seed, TODAY + timedelta(days=1), PARAMETERS).courses

    assert [c.rupture for c in tomorrow] == [c.rupture for c in World(seed, TODAY, PARAMETERS).courses]


@settings(max_examples=4, deadline=None)
@given(seed=seeds)
def test_events_are_in_order_and_none_is_after_today(seed: int) -> None:
    for course in courses(seed):
        for session in course.sessions:
            assert course.started_at <= session.starts_at < session.ended_at < TODAY
            for answer in (session.client, session.clinician):
                if answer is not None and answer.given_at is not None:
                    assert session.ended_at < answer.given_at <= TODAY
                    assert (
                        answer.correction is None
                        or answer.correction.given_at is None
                        or answer.given_at < answer.correction.given_at <= TODAY
                    )
        assert all(one.starts_at < next_one.starts_at for one, next_one in pairwise(course.sessions))
        if course.ending:
            assert course.sessions[-1].ended_at < course.ending[0] < TODAY


@settings(max_examples=4, deadline=None)
@given(seed=seeds)
def test_every_id_and_every_case_code_is_unique(seed: int) -> None:
    all_courses = courses(seed)
    ids = [
        *(course.id for course in all_courses),
        *(session.id for course in all_courses for session in course.sessions),
    ]
    codes = {course.client_id: course.case_code for course in all_courses}

    assert len(set(ids)) == len(ids)
    assert len(set(codes.values())) == len(codes)


@settings(max_examples=4, deadline=None)
@given(seed=seeds)
def test_ratings_are_integers_from_zero_to_ten(seed: int) -> None:
    given_ratings = [
        rating
        for course in courses(seed)
        for session in course.sessions
        for answer in (session.client, session.clinician)
        if answer is not None
        for rating in answer.ratings.values()
    ]

    assert set(given_ratings) <= set(range(11))


def test_corrections_and_late_entries_are_not_recent() -> None:
    for course in courses(1):
        assert course.ending is None or course.ending[0] < TODAY - MIN_CORRECTION_AGE + timedelta(days=3)
        for session in course.sessions:
            if session.starts_at > TODAY - MIN_CORRECTION_AGE:
                assert not session.is_entered_late
                assert not any(answer and answer.correction for answer in (session.client, session.clinician))


def test_a_network_contains_every_kind_of_rupture_ending_session_and_answer() -> None:
    all_courses = [course for seed in range(5) for course in courses(seed)]
    sessions = [session for course in all_courses for session in course.sessions]
    answers = [answer for session in sessions for answer in (session.client, session.clinician) if answer]

    assert {c.rupture.kind for c in all_courses if c.rupture} == {
        "dip",
        "step",
        "slide",
        "element",
        "withdrawal",
        "tension_reported",
    }
    assert {severe_reason(course) for course in all_courses} == {
        None,
        "tension reported",
        "missed three sessions",
        "large drop",
    }
    assert {c.ending[1] for c in all_courses if c.ending} >= {"completed", "transferred", "stopped_by_client"}
    assert {session.outcome for session in sessions} == {"held", "missed", "cancelled"}
    assert {session.cancelled_by for session in sessions} == {None, "client", "clinician", "clinic"}
    assert any(session.is_entered_late for session in sessions)
    assert any(answer.correction for answer in answers)
    assert any(answer.given_at is None for answer in answers)
    assert any(answer.srs_total is not None for answer in answers)
    assert any(
        s.client and s.client.given_at and s.client.given_at > s.ended_at + timedelta(hours=72) for s in sessions
    )


def test_about_as_many_ruptures_are_planted_as_configured() -> None:
    all_courses = [course for course in World(3, TODAY, Parameters()).courses if len(course.sessions) >= 4]

    assert 0.15 < sum(course.rupture is not None for course in all_courses) / len(all_courses) < 0.35


def test_clients_rate_near_the_top_and_most_variance_is_between_clients() -> None:
    by_course = [
        [answer.score for _, answer in course.client_answers()]
        for course in World(4, TODAY, Parameters(rupture_probability=0)).courses
    ]
    means = [sum(scores) / len(scores) for scores in by_course if len(scores) >= 5]
    within = [
        sum((score - sum(scores) / len(scores)) ** 2 for score in scores) / (len(scores) - 1)
        for scores in by_course
        if len(scores) >= 5
    ]
    grand = sum(means) / len(means)
    between = sum((mean - grand) ** 2 for mean in means) / (len(means) - 1)

    assert 80 < grand < 95
    assert 0.55 < between / (between + sum(within) / len(within)) < 0.9


def test_every_ongoing_relationship_gets_one_session_per_round_after_today() -> None:
    world = World(5, TODAY, PARAMETERS)
    courses_per_round = len(world.ongoing_courses)

    turns = Counter(world.next_session(index, TODAY)[0].id for index in range(2 * courses_per_round))

    assert set(turns.values()) == {2}
    assert len(turns) == courses_per_round
    assert world.next_session(7, TODAY) == World(5, TODAY, PARAMETERS).next_session(7, TODAY)


def test_sessions_after_today_are_new_and_have_just_ended() -> None:
    world = World(5, TODAY, PARAMETERS)
    later = TODAY + timedelta(days=3)
    known = {session.id for course in courses(5) for session in course.sessions}

    new_sessions = [world.next_session(index, later)[1] for index in range(3 * len(world.ongoing_courses))]

    assert len({session.id for session in new_sessions} | known) == len(new_sessions) + len(known)
    assert all(later - timedelta(minutes=2) < session.ended_at < later for session in new_sessions)
    answered_sessions = [s for s in new_sessions for answer in (s.client, s.clinician) if answer and answer.given_at]
    assert all(
        s.client is None or s.client.given_at is None or s.client.given_at >= s.ended_at for s in answered_sessions
    )


def create_course(scores: list[int | None], rupture: Rupture, spread: float = 0.5) -> Course:
    """A course with a session per week; the client gives each score to every element, None is no answer."""
    sessions = tuple(
        Session(
            UUID(int=number),
            number,
            TODAY - timedelta(weeks=len(scores) - number),
            client=None if score is None else SimulatedAnswer(TODAY, dict.fromkeys(ELEMENTS, score)),
        )
        for number, score in enumerate(scores)
    )
    unused_id = UUID(int=0)
    return Course(
        id=unused_id,
        clinic_id=unused_id,
        clinician_id=unused_id,
        client_id=unused_id,
        case_code="A1",
        started_at=TODAY - timedelta(weeks=30),
        aims=("coping",),
        cadence_days=7,
        sessions=sessions,
        spread=spread,
        rupture=rupture,
    )


GOOD_SCORES: list[int | None] = [9] * 6
DIP = Rupture("dip", first_session=6, last_session=7, drop_points=4)


def test_a_large_drop_that_is_rated_twice_after_a_baseline_is_severe() -> None:
    assert severe_reason(create_course([*GOOD_SCORES, 5, 5], DIP)) == "large drop"


def test_a_drop_that_is_shallow_early_or_rated_only_once_may_be_missed() -> None:
    assert severe_reason(create_course([*GOOD_SCORES, 7, 7], DIP)) is None
    assert severe_reason(create_course([*GOOD_SCORES, 5, 5], DIP, spread=2.0)) is None
    assert severe_reason(create_course([*GOOD_SCORES, 5, None], DIP)) is None
    assert severe_reason(create_course([*GOOD_SCORES[:5], None, 5, 5], DIP)) is None
    assert severe_reason(replace(create_course([*GOOD_SCORES, 5, 5], DIP), has_varied_ratings=False)) is None
    assert severe_reason(replace(create_course([*GOOD_SCORES, 5, 5], DIP), rupture=None)) is None


def test_a_reported_tension_is_severe_from_the_first_session_on() -> None:
    course = create_course([9], Rupture("tension_reported", first_session=0, last_session=0, drop_points=0))
    reported = SimulatedAnswer(TODAY, dict.fromkeys(ELEMENTS, 9), tension="yes", talked_about="not")
    talked_about = replace(reported, talked_about="yes")

    assert (
        severe_reason(replace(course, sessions=(replace(course.sessions[0], clinician=reported),)))
        == "tension reported"
    )
    assert severe_reason(replace(course, sessions=(replace(course.sessions[0], clinician=talked_about),))) is None


def test_three_consecutive_missed_sessions_are_severe() -> None:
    rupture = Rupture("withdrawal", first_session=0, last_session=3, drop_points=0)
    course = create_course([None] * 4, rupture)
    missed = [replace(session, outcome="missed") for session in course.sessions]

    assert severe_reason(replace(course, sessions=(*missed[:3], course.sessions[3]))) == "missed three sessions"
    assert severe_reason(replace(course, sessions=(*missed[:2], course.sessions[2], missed[3]))) is None


def test_the_drop_of_a_slide_grows_and_an_unrepaired_rupture_persists() -> None:
    slide = Rupture("slide", first_session=2, last_session=5, drop_points=4, is_repaired=False)
    dip = Rupture("dip", first_session=2, last_session=3, drop_points=4)

    assert [slide.drop_at(number) for number in range(8)] == [0, 0, 1, 2, 3, 4, 4, 4]
    assert [dip.drop_at(number) for number in range(5)] == [0, 0, 4, 4, 0]
