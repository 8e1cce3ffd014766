"""Links to forms: they add up to a limit, and end together."""

import pytest

from services.sessions.domain.appointment import complete
from services.sessions.domain.feedback import answer_form, record_answer
from services.sessions.domain.links import MAX_LINKS, add_link_if_possible, issue_link
from services.sessions.domain.session import Session
from shared.errors import Rejected
from tests.support.sessions_builders import (
    COMPLETION,
    NOW,
    REQUEST_OPTIONS,
    WINDOW,
    completed_session,
    make_answer,
    make_relationship,
    scheduled_session,
)

RELATIONSHIP = make_relationship()


def rejection(session: Session) -> str:
    with pytest.raises(Rejected) as rejected:
        issue_link(session, RELATIONSHIP, "client", "new", NOW)
    assert add_link_if_possible(session, RELATIONSHIP, "client", "new", NOW) == session
    return rejected.value.code


def test_links_add_up_to_a_limit_and_all_open_the_form() -> None:
    session = completed_session(RELATIONSHIP)

    for number in range(2, MAX_LINKS + 1):
        session, events = issue_link(session, RELATIONSHIP, "client", f"c{number}", NOW)
        assert events == ()

    assert rejection(session) == "too-many-links"
    assert [session.rater_of(f"c{number}") for number in range(1, MAX_LINKS + 1)] == ["client"] * MAX_LINKS
    assert session.link_hashes == [*(f"c{number}" for number in range(1, MAX_LINKS + 1)), "t1"]


def test_every_link_is_used_up_by_an_answer() -> None:
    session = issue_link(completed_session(RELATIONSHIP), RELATIONSHIP, "client", "c2", NOW)[0]

    answered, _ = answer_form(session, RELATIONSHIP, "c1", make_answer(8), NOW)

    assert rejection(answered) == "already-answered"
    with pytest.raises(Rejected, match=f"PUT /sessions/{answered.session_id}/feedback/client"):
        issue_link(answered, RELATIONSHIP, "client", "new", NOW)
    assert answer_form(answered, RELATIONSHIP, "c2", make_answer(8), NOW) == (answered, ())
    with pytest.raises(Rejected, match="answered"):
        answer_form(answered, RELATIONSHIP, "c2", make_answer(3), NOW)


def test_no_link_is_issued_after_the_time_for_the_form_also_if_an_older_version_stored_no_expiry() -> None:
    session = completed_session(RELATIONSHIP)

    for expires_at, due_at in ((NOW, NOW + WINDOW), (None, NOW)):
        request = session.feedback["client"].model_copy(update={"expires_at": expires_at, "due_at": due_at})
        assert rejection(session.with_request("client", request)) == "link-expired"


def test_a_client_who_was_not_asked_gets_no_link() -> None:
    without_consent = make_relationship(consent=False)
    completed = complete(scheduled_session(without_consent), without_consent, COMPLETION, NOW, REQUEST_OPTIONS)[0]

    assert rejection(completed) == "not-asked"
    with pytest.raises(Rejected, match="not agreed"):
        issue_link(completed_session(RELATIONSHIP), without_consent, "client", "new", NOW)
    assert rejection(scheduled_session(RELATIONSHIP)) == "session-not-held"


def test_an_answer_records_how_it_came() -> None:
    session, (submitted,) = answer_form(completed_session(RELATIONSHIP), RELATIONSHIP, "c1", make_answer(8), NOW)
    later = NOW + WINDOW
    corrected, (amended,) = record_answer(session, RELATIONSHIP, "client", make_answer(3), later, later, WINDOW, "desk")
    repeated, _ = record_answer(corrected, RELATIONSHIP, "client", make_answer(3), later, later, WINDOW, "system")

    assert getattr(submitted, "collected_by", None) == session.feedback["client"].collected_by == "form"
    assert getattr(amended, "collected_by", None) == repeated.feedback["client"].collected_by == "desk"
