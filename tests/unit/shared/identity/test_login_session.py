"""When a login session ends: by its person, by doing nothing, or by its age."""

from datetime import UTC, datetime, timedelta
from itertools import accumulate
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.access.clinic_id import ClinicId
from shared.identity.login_session import ACTIVITY_INTERVAL, LoginSession, find_browser

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=12)
durations = st.integers(0, 20 * 3_600).map(lambda seconds: timedelta(seconds=seconds))
pauses = st.lists(st.integers(0, 45 * 60).map(lambda seconds: timedelta(seconds=seconds)), max_size=60)


def make_session(**fields: datetime) -> LoginSession:
    defaults = {"started_at": START, "last_active_at": START, "expires_at": START + LONGEST}
    return LoginSession.model_validate(
        {
            "login_session_id": "hash",
            "person_id": UUID(int=1),
            "clinic_id": ClinicId(UUID(int=2)),
            "browser": "Firefox",
            **defaults,
            **fields,
        }
    )


def use(session: LoginSession, times: list[datetime]) -> LoginSession:
    """The session after its person was active at these times."""
    return list(accumulate(times, lambda now, at: now.record_activity(at, IDLE), initial=session))[-1]


def activity_times(pauses: list[timedelta]) -> list[datetime]:
    return [START + sum(pauses[:count], timedelta()) for count in range(len(pauses) + 1)]


def test_it_ends_after_half_an_hour_without_activity() -> None:
    session = make_session()

    assert session.is_active(START + IDLE - timedelta(seconds=1), IDLE)
    assert not session.is_active(START + IDLE, IDLE)


def test_it_ends_after_twelve_hours_of_constant_activity() -> None:
    times = [START + n * timedelta(minutes=10) for n in range(72)]
    session = use(make_session(), times)

    assert session.last_active_at == times[-1]
    assert session.is_active(START + LONGEST - timedelta(seconds=1), IDLE)
    assert not session.is_active(START + LONGEST, IDLE)


def test_activity_is_written_at_most_once_a_minute() -> None:
    session = make_session()

    assert session.record_activity(START + timedelta(seconds=59), IDLE) is session
    assert session.record_activity(START + timedelta(seconds=60), IDLE).last_active_at == START + timedelta(seconds=60)


def test_it_says_who_is_signed_in() -> None:
    person = make_session().person

    assert (person.person_id, person.clinic_id, person.login_session_id) == (UUID(int=1), UUID(int=2), "hash")
    assert person.chosen_role is None


@given(pauses, durations)
def test_it_is_never_active_longer_than_its_limits(pauses: list[timedelta], duration: timedelta) -> None:
    times = activity_times(pauses)
    session, at = use(make_session(), times), START + duration

    if session.is_active(at, IDLE):
        assert at < START + LONGEST
        assert at < max(times) + IDLE


@given(pauses)
def test_it_ends_at_most_a_minute_before_the_idle_limit(pauses: list[timedelta]) -> None:
    session = make_session()
    last_activity = START
    for at in activity_times(pauses):
        if session.is_active(at, IDLE):
            last_activity = at
        session = session.record_activity(at, IDLE)

    promised = min(last_activity + IDLE - ACTIVITY_INTERVAL, START + LONGEST)
    assert promised <= session.ends_at(IDLE) <= last_activity + IDLE


@given(pauses, st.lists(durations, min_size=1))
def test_what_has_ended_stays_ended(pauses: list[timedelta], later: list[timedelta]) -> None:
    ended = use(make_session(), activity_times(pauses))
    end = ended.ends_at(IDLE)

    assert use(ended, [end + duration for duration in later]) == ended
    assert not any(ended.is_active(end + duration, IDLE) for duration in later)


@given(durations, durations)
def test_it_ends_when_its_person_ends_it(ended_after: timedelta, asked_after: timedelta) -> None:
    session = make_session(ended_at=START + ended_after)

    assert not session.is_active(START + ended_after + asked_after, IDLE)


@given(pauses, durations)
def test_activity_never_moves_backwards(pauses: list[timedelta], back: timedelta) -> None:
    session = use(make_session(), activity_times(pauses))

    assert session.record_activity(session.last_active_at - back, IDLE) is session


@pytest.mark.parametrize(
    ("user_agent", "browser"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/138.0.0.0 Safari/537.36", "Chrome"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0", "Edge"),
        ("Mozilla/5.0 (X11; Linux) AppleWebKit/537.36 Chrome/138.0.0.0 Safari/537.36 OPR/122.0.0.0", "Opera"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5) AppleWebKit/605.1.15 Version/18.5 Safari/604.1", "Safari"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5) AppleWebKit/605.1.15 CriOS/138.0 Safari/604.1", "Chrome"),
        ("curl/8.5.0", "unknown"),
        ("", "unknown"),
    ],
)
def test_only_the_family_of_the_browser_is_recognised(user_agent: str, browser: str) -> None:
    assert find_browser(user_agent) == browser
