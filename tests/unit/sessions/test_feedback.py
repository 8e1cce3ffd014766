"""How a session felt: said once, corrected, said late, or not said."""

from datetime import timedelta

import pytest

from services.sessions.domain.feedback import answer_link, lapse, open_link, take
from services.sessions.domain.session import Asking, Cancelled, cancel, complete
from shared.errors import Refused, Unknown
from shared.events import Answer, FeedbackAmended, FeedbackLapsed, FeedbackSubmitted, InstrumentTotal
from tests.support.sessions_builders import ELEVEN, HELD, LINKS, WINDOW, felt, held, planned, relationship

US = relationship()
DUE = HELD.ended_at + WINDOW
MINUTE = timedelta(minutes=1)


def test_an_answer_is_told_once() -> None:
    session, (submitted,) = take(held(US), US, "client", felt(8), ELEVEN, ELEVEN, WINDOW)

    assert isinstance(submitted, FeedbackSubmitted)
    assert (submitted.occurred_at, submitted.rater, submitted.ratings) == (ELEVEN, "client", {"trust": 8})
    assert take(session, US, "client", felt(8), ELEVEN, ELEVEN, WINDOW) == (session, ())


def test_a_different_answer_given_later_corrects_the_first() -> None:
    first, (submitted,) = take(held(US), US, "client", felt(8), ELEVEN, ELEVEN, WINDOW)

    second, (amended,) = take(first, US, "client", felt(3), ELEVEN + MINUTE, ELEVEN + MINUTE, WINDOW)
    third, (amended_again,) = take(second, US, "client", felt(4), ELEVEN + 2 * MINUTE, ELEVEN + 2 * MINUTE, WINDOW)

    assert isinstance(amended, FeedbackAmended)
    assert amended.amends == submitted.id
    assert len({submitted.id, amended.id, amended_again.id}) == 3
    with pytest.raises(Refused, match="must be given later") as rejected:
        take(third, US, "client", felt(9), ELEVEN, ELEVEN + 3 * MINUTE, WINDOW)
    assert rejected.value.kind == "older-than-what-is-known"


def test_the_total_of_an_instrument_is_an_answer() -> None:
    total = Answer(instrument=InstrumentTotal(name="srs", total=31))

    _, (submitted,) = take(held(US), US, "client", total, ELEVEN, ELEVEN, WINDOW)

    assert isinstance(submitted, FeedbackSubmitted)
    assert submitted.instrument == total.instrument


def test_only_a_session_that_was_held_can_be_answered() -> None:
    scheduled = planned(US)
    cancelled = cancel(scheduled, Cancelled(by="client", cancelled_at=ELEVEN), ELEVEN)[0]

    for session in (scheduled, cancelled):
        with pytest.raises(Refused) as rejected:
            take(session, US, "client", felt(), ELEVEN, ELEVEN, WINDOW)
        assert rejected.value.kind == "session-not-held"


def test_an_answer_lies_between_the_session_and_now() -> None:
    with pytest.raises(Refused, match="before the session's end"):
        take(held(US), US, "client", felt(), HELD.ended_at - 6 * MINUTE, ELEVEN, WINDOW)
    with pytest.raises(Refused, match="lies in the future"):
        take(held(US), US, "client", felt(), ELEVEN + 6 * MINUTE, ELEVEN, WINDOW)
    assert take(held(US), US, "client", felt(), HELD.ended_at - 4 * MINUTE, ELEVEN, WINDOW)[1]


def test_what_a_client_who_did_not_agree_said_is_not_taken() -> None:
    without_consent = relationship(consent=False)

    with pytest.raises(Refused, match="not agreed"):
        take(held(without_consent), without_consent, "client", felt(), ELEVEN, ELEVEN, WINDOW)
    assert take(held(without_consent), without_consent, "clinician", felt(), ELEVEN, ELEVEN, WINDOW)[1]


def test_a_form_is_answered_once_and_the_same_answer_again_is_a_bad_connection() -> None:
    session, (submitted,) = answer_link(held(US), US, "c1", felt(8), ELEVEN)

    assert submitted.occurred_at == ELEVEN
    assert answer_link(session, US, "c1", felt(8), DUE + MINUTE) == (session, ())
    with pytest.raises(Refused) as rejected:
        answer_link(session, US, "c1", felt(2), ELEVEN)
    assert rejected.value.kind == "link-used"
    with pytest.raises(Refused):
        open_link(session, US, "c1", ELEVEN)
    assert open_link(session, US, "t1", ELEVEN) == "clinician", "the other one's form is still open"


def test_the_same_answer_again_is_known_though_a_newer_link_was_given_out() -> None:
    answered, _ = answer_link(held(US), US, "c1", felt(8), ELEVEN)
    new_options = Asking(link_hashes={"client": "c2", "clinician": "t2"}, window=WINDOW, grace=timedelta(0))
    session, _ = complete(answered, US, HELD, ELEVEN, new_options)

    assert answer_link(session, US, "c1", felt(8), ELEVEN) == (session, ())
    with pytest.raises(Refused) as rejected:
        open_link(session, US, "c2", ELEVEN)
    assert rejected.value.kind == "link-used"


def test_an_answer_is_never_told_before_the_session_ended() -> None:
    _, (submitted,) = answer_link(held(US), US, "c1", felt(), HELD.ended_at - MINUTE)

    assert submitted.occurred_at == HELD.ended_at


def test_a_link_expires_and_a_forged_one_never_works() -> None:
    with pytest.raises(Refused) as rejected:
        answer_link(held(US), US, "c1", felt(), DUE)
    assert rejected.value.kind == "link-expired"
    with pytest.raises(Unknown):
        open_link(held(US), US, "forged", ELEVEN)


def test_a_client_who_withdrew_is_not_asked_any_more() -> None:
    withdrawn = US.model_copy(update={"consent": False})

    with pytest.raises(Refused) as rejected:
        open_link(held(US), withdrawn, "c1", ELEVEN)
    assert rejected.value.kind == "no-consent"
    session, events = lapse(held(US), withdrawn, DUE)
    assert [event.rater for event in events if isinstance(event, FeedbackLapsed)] == ["clinician"]
    assert session.feedback["client"].status == "withdrawn"
    assert session.next_lapse_at is None


def test_silence_is_told_once_stamped_with_the_moment_that_passed() -> None:
    answered = take(held(US), US, "client", felt(), ELEVEN, ELEVEN, WINDOW)[0]

    session, (lapsed,) = lapse(answered, US, DUE + timedelta(days=4))

    assert isinstance(lapsed, FeedbackLapsed)
    assert (lapsed.rater, lapsed.occurred_at) == ("clinician", DUE)
    assert lapse(session, US, DUE + timedelta(days=5)) == (session, [])
    assert lapse(answered, US, DUE - MINUTE) == (answered, [])


def test_a_late_answer_is_welcome() -> None:
    session, _ = lapse(held(US), US, DUE)

    answered, (submitted,) = take(session, US, "client", felt(), DUE + MINUTE, DUE + MINUTE, WINDOW)

    assert isinstance(submitted, FeedbackSubmitted)
    assert answered.feedback["client"].status == "answered"


def test_a_session_entered_late_leaves_time_for_the_answer_that_is_entered_with_it() -> None:
    entered_at, grace = DUE + timedelta(days=30), timedelta(seconds=10)
    options = Asking(LINKS.link_hashes, WINDOW, grace)

    session, _ = complete(planned(US), US, HELD, entered_at, options)

    assert session.next_lapse_at == entered_at + grace
    assert lapse(session, US, entered_at + grace)[1][0].occurred_at == DUE
