"""Feedback about a session: answered, amended, answered late, or lapsed."""

from datetime import timedelta

import pytest

from services.sessions.domain.appointment import RequestOptions, cancel, complete
from services.sessions.domain.feedback import MAX_AMENDMENTS, answer_form, lapse, open_form, record_answer
from services.sessions.domain.session import Cancelled
from shared.errors import NotFound, Rejected
from shared.events import Answer, FeedbackAmended, FeedbackLapsed, FeedbackSubmitted, InstrumentTotal
from tests.support.sessions_builders import (
    COMPLETION,
    NOW,
    WINDOW,
    completed_session,
    make_answer,
    make_relationship,
    scheduled_session,
)

RELATIONSHIP = make_relationship()
DUE_AT = COMPLETION.ended_at + WINDOW
MINUTE = timedelta(minutes=1)


def test_a_repeated_answer_gives_one_event() -> None:
    session, (submitted,) = record_answer(
        completed_session(RELATIONSHIP), RELATIONSHIP, "client", make_answer(8), NOW, NOW, WINDOW, "system"
    )

    assert isinstance(submitted, FeedbackSubmitted)
    assert (submitted.occurred_at, submitted.rater, submitted.ratings) == (NOW, "client", {"trust": 8})
    assert record_answer(session, RELATIONSHIP, "client", make_answer(8), NOW, NOW, WINDOW, "system") == (session, ())


def test_a_different_answer_given_later_corrects_the_first() -> None:
    first, (submitted,) = record_answer(
        completed_session(RELATIONSHIP), RELATIONSHIP, "client", make_answer(8), NOW, NOW, WINDOW, "system"
    )

    second, (amended,) = record_answer(
        first, RELATIONSHIP, "client", make_answer(3), NOW + MINUTE, NOW + MINUTE, WINDOW, "system"
    )
    third, (amended_again,) = record_answer(
        second, RELATIONSHIP, "client", make_answer(4), NOW + 2 * MINUTE, NOW + 2 * MINUTE, WINDOW, "system"
    )

    assert isinstance(amended, FeedbackAmended)
    assert amended.amends == submitted.id
    assert len({submitted.id, amended.id, amended_again.id}) == 3
    with pytest.raises(Rejected, match="must be given after") as rejected:
        record_answer(third, RELATIONSHIP, "client", make_answer(9), NOW, NOW + 3 * MINUTE, WINDOW, "system")
    assert rejected.value.code == "older-than-what-is-known"


def test_an_answer_has_a_limit_of_amendments() -> None:
    session, *answers = completed_session(RELATIONSHIP), *range(MAX_AMENDMENTS + 1)
    for number in answers:
        at = NOW + number * MINUTE
        session, _ = record_answer(session, RELATIONSHIP, "client", make_answer(number % 10), at, at, WINDOW, "system")

    later = NOW + 60 * MINUTE
    same = make_answer(MAX_AMENDMENTS % 10)
    assert record_answer(session, RELATIONSHIP, "client", same, later, later, WINDOW, "system") == (session, ())
    with pytest.raises(Rejected, match="The last one counts") as rejected:
        record_answer(session, RELATIONSHIP, "client", make_answer(9), later, later, WINDOW, "system")
    assert rejected.value.code == "too-many-amendments"


def test_the_total_of_an_instrument_is_an_answer() -> None:
    total = Answer(instrument=InstrumentTotal(name="srs", total=31))

    _, (submitted,) = record_answer(
        completed_session(RELATIONSHIP), RELATIONSHIP, "client", total, NOW, NOW, WINDOW, "system"
    )

    assert isinstance(submitted, FeedbackSubmitted)
    assert submitted.instrument == total.instrument


def test_only_a_completed_session_can_be_answered() -> None:
    scheduled = scheduled_session(RELATIONSHIP)
    cancelled = cancel(scheduled, Cancelled(by="client", cancelled_at=NOW), NOW)[0]

    for session in (scheduled, cancelled):
        with pytest.raises(Rejected) as rejected:
            record_answer(session, RELATIONSHIP, "client", make_answer(), NOW, NOW, WINDOW, "system")
        assert rejected.value.code == "session-not-held"


def test_an_answer_is_given_after_the_session_and_not_in_the_future() -> None:
    with pytest.raises(Rejected, match="before the session's end"):
        record_answer(
            completed_session(RELATIONSHIP),
            RELATIONSHIP,
            "client",
            make_answer(),
            COMPLETION.ended_at - 6 * MINUTE,
            NOW,
            WINDOW,
            "system",
        )
    with pytest.raises(Rejected, match="is in the future"):
        record_answer(
            completed_session(RELATIONSHIP),
            RELATIONSHIP,
            "client",
            make_answer(),
            NOW + 6 * MINUTE,
            NOW,
            WINDOW,
            "system",
        )
    assert record_answer(
        completed_session(RELATIONSHIP),
        RELATIONSHIP,
        "client",
        make_answer(),
        COMPLETION.ended_at - 4 * MINUTE,
        NOW,
        WINDOW,
        "system",
    )[1]


def test_an_answer_of_a_client_without_consent_is_rejected() -> None:
    without_consent = make_relationship(consent=False)

    with pytest.raises(Rejected, match="not agreed"):
        record_answer(
            completed_session(without_consent), without_consent, "client", make_answer(), NOW, NOW, WINDOW, "system"
        )
    assert record_answer(
        completed_session(without_consent), without_consent, "clinician", make_answer(), NOW, NOW, WINDOW, "system"
    )[1]


def test_a_form_is_answered_once_and_the_same_answer_may_be_sent_again() -> None:
    session, (submitted,) = answer_form(completed_session(RELATIONSHIP), RELATIONSHIP, "c1", make_answer(8), NOW)

    assert submitted.occurred_at == NOW
    assert answer_form(session, RELATIONSHIP, "c1", make_answer(8), DUE_AT + MINUTE) == (session, ())
    with pytest.raises(Rejected) as rejected:
        answer_form(session, RELATIONSHIP, "c1", make_answer(2), NOW)
    assert rejected.value.code == "link-used"
    with pytest.raises(Rejected):
        open_form(session, RELATIONSHIP, "c1", NOW)
    assert open_form(session, RELATIONSHIP, "t1", NOW) == "clinician", "the clinician's form is still open"


def test_an_answer_without_a_language_is_in_that_of_the_answer_it_repeats() -> None:
    without, english, german = (
        make_answer(8).model_copy(update={"language": language}) for language in (None, "en", "de")
    )
    for first, again in ((without, english), (english, without)):
        session, _ = answer_form(completed_session(RELATIONSHIP), RELATIONSHIP, "c1", first, NOW)
        assert answer_form(session, RELATIONSHIP, "c1", again, NOW) == (session, ())
        assert record_answer(session, RELATIONSHIP, "client", again, NOW, NOW, WINDOW, "system") == (session, ())

    session, _ = answer_form(completed_session(RELATIONSHIP), RELATIONSHIP, "c1", english, NOW)
    with pytest.raises(Rejected):
        answer_form(session, RELATIONSHIP, "c1", german, NOW)


def test_a_repeated_answer_is_recognized_after_an_older_version_replaced_its_link() -> None:
    answered, _ = answer_form(completed_session(RELATIONSHIP), RELATIONSHIP, "c1", make_answer(8), NOW)
    replaced = answered.feedback["client"].model_copy(update={"token_hash": "c2", "earlier_token_hashes": []})
    session = answered.with_request("client", replaced)

    assert answer_form(session, RELATIONSHIP, "c1", make_answer(8), NOW) == (session, ())
    with pytest.raises(Rejected) as rejected:
        open_form(session, RELATIONSHIP, "c2", NOW)
    assert rejected.value.code == "link-used"


def test_an_answer_never_occurs_before_the_end_of_the_session() -> None:
    _, (submitted,) = answer_form(
        completed_session(RELATIONSHIP), RELATIONSHIP, "c1", make_answer(), COMPLETION.ended_at - MINUTE
    )

    assert submitted.occurred_at == COMPLETION.ended_at


def test_a_link_expires_and_a_forged_one_never_works() -> None:
    with pytest.raises(Rejected) as rejected:
        answer_form(completed_session(RELATIONSHIP), RELATIONSHIP, "c1", make_answer(), DUE_AT)
    assert rejected.value.code == "link-expired"
    with pytest.raises(NotFound):
        open_form(completed_session(RELATIONSHIP), RELATIONSHIP, "forged", NOW)


def test_a_client_who_withdrew_consent_is_no_longer_asked() -> None:
    relationship = RELATIONSHIP.model_copy(update={"consent": False})

    with pytest.raises(Rejected) as rejected:
        open_form(completed_session(RELATIONSHIP), relationship, "c1", NOW)
    assert rejected.value.code == "no-consent"
    session, events = lapse(completed_session(RELATIONSHIP), relationship, DUE_AT)
    assert [event.rater for event in events if isinstance(event, FeedbackLapsed)] == ["clinician"]
    assert session.feedback["client"].status == "withdrawn"
    assert session.next_lapse_at is None


def test_a_request_lapses_once_at_its_due_time() -> None:
    answered = record_answer(
        completed_session(RELATIONSHIP), RELATIONSHIP, "client", make_answer(), NOW, NOW, WINDOW, "system"
    )[0]

    session, (lapsed,) = lapse(answered, RELATIONSHIP, DUE_AT + timedelta(days=4))

    assert isinstance(lapsed, FeedbackLapsed)
    assert (lapsed.rater, lapsed.occurred_at) == ("clinician", DUE_AT)
    assert lapse(session, RELATIONSHIP, DUE_AT + timedelta(days=5)) == (session, [])
    assert lapse(answered, RELATIONSHIP, DUE_AT - MINUTE) == (answered, [])


def test_a_late_answer_is_recorded() -> None:
    session, _ = lapse(completed_session(RELATIONSHIP), RELATIONSHIP, DUE_AT)

    answered, (submitted,) = record_answer(
        session, RELATIONSHIP, "client", make_answer(), DUE_AT + MINUTE, DUE_AT + MINUTE, WINDOW, "system"
    )

    assert isinstance(submitted, FeedbackSubmitted)
    assert answered.feedback["client"].status == "answered"


def test_a_session_entered_late_leaves_time_to_enter_its_answer() -> None:
    entered_at, grace = DUE_AT + timedelta(days=30), timedelta(seconds=10)
    options = RequestOptions(WINDOW, grace)

    session, _ = complete(scheduled_session(RELATIONSHIP), RELATIONSHIP, COMPLETION, entered_at, options)

    assert session.next_lapse_at == entered_at + grace
    assert lapse(session, RELATIONSHIP, entered_at + grace)[1][0].occurred_at == DUE_AT
