"""Invalid HTTP requests and the response that each must get. None of them may change anything."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from tools.sandbox.network.clinic_systems import ClinicSystems
from tools.sandbox.network.course import Course, Session
from tools.sandbox.network.ledger import Ledger

PROBLEM_TYPE, PAGE_TYPE = "application/problem+json", "text/html"
UNKNOWN_ID = UUID("00000000-0000-4000-8000-000000000000")
OVERSIZED_TEXT = "x" * 1_100_000  # a service takes bodies of up to 1,000,000 bytes
CASELOAD_HEADER = "relationship_id,clinician_id,client_id,case_code,started_at,aims,cadence_days,consent\r\n"


@dataclass(frozen=True)
class InvalidRequest:
    """A request that must be rejected with `status`; the response must contain `expected_text`, the reason."""

    name: str
    status: int
    expected_text: str
    method: str
    service: str
    path: str
    options: dict[str, Any]
    content_type: str = PROBLEM_TYPE


@dataclass(frozen=True)
class ExistingData:
    """Existing data that the requests contradict."""

    ongoing_course: Course
    ended_course: Course
    answered_session: Session
    """A session of the ongoing course, answered by the client."""
    planned_session_id: UUID
    """A session that has not been held."""
    used_link: str
    now: datetime


async def prepare_data(clinic_systems: ClinicSystems, courses: list[Course], now: datetime) -> ExistingData:
    """Find or create the data that the invalid requests refer to."""
    ongoing_course = next(
        course for course in courses if course.ending is None and any(session.client for session in course.sessions)
    )
    answered_session = next(session for session in ongoing_course.sessions if session.client)
    planned_session_id = uuid5(ongoing_course.id, "planned")
    appointment = {
        "relationship_id": str(ongoing_course.id),
        "starts_at": _format_time(now + timedelta(days=1)),
        "minutes": 50,
    }
    system = clinic_systems.credentials.machine(ongoing_course.clinic_id)
    await clinic_systems.request("PUT", "sessions", f"/sessions/{planned_session_id}", system, appointment)
    return ExistingData(
        ongoing_course=ongoing_course,
        ended_course=next(
            course for course in courses if course.ending is not None and course.clinic_id == ongoing_course.clinic_id
        ),
        answered_session=answered_session,
        planned_session_id=planned_session_id,
        used_link=_find_used_link(clinic_systems.ledger),
        now=now,
    )


def _find_used_link(ledger: Ledger) -> str:
    """The path of a client's form that was answered. Behind a front door a link is a whole URL."""
    answered = {urlsplit(request.path).path for request in ledger.requests}
    sent = (r.response["url"] for r in ledger.requests if r.path.endswith("/client-link"))
    return next(path for path in (str(urlsplit(url).path) for url in sent) if path in answered)


async def unexpected_responses(
    clinic_systems: ClinicSystems, existing: ExistingData, requests: list[InvalidRequest]
) -> list[str]:
    """Let those who may do so send all requests; return those that were not rejected as expected."""
    differences, course = [], existing.ongoing_course
    system = clinic_systems.credentials.machine(course.clinic_id)
    clinician = clinic_systems.credentials.clinician(course.clinician_id)
    for request in requests:
        auth = clinician if request.service == "notify" else system
        response = await clinic_systems.request_once(
            request.method, request.service, request.path, auth=auth, **request.options
        )
        content_type = response.headers.get("content-type", "").split(";")[0]
        if (response.status_code, content_type) != (
            request.status,
            request.content_type,
        ) or request.expected_text not in response.text:
            differences.append(f"{request.name}: {response.status_code} {content_type} {response.text[:300]}")
    return differences


def invalid_requests(existing: ExistingData) -> list[InvalidRequest]:
    """All invalid requests."""
    return [
        *_invalid_intake_requests(existing),
        *_invalid_session_requests(existing),
        *_invalid_answers(existing),
        *_invalid_links(existing),
        *_other_invalid_requests(),
    ]


def _invalid_intake_requests(existing: ExistingData) -> Iterator[InvalidRequest]:
    course = existing.ongoing_course
    path = f"/relationships/{uuid5(course.id, 'wrong')}"
    valid_body = {
        "clinic_id": str(course.clinic_id),
        "clinician_id": str(course.clinician_id),
        "client_id": str(course.client_id),
        "started_at": _format_time(course.started_at),
        "aims": ["coping"],
        "cadence_days": 7,
        "consent": True,
    }

    def put(name: str, status: int, expected_text: str, **change: Any) -> InvalidRequest:
        return InvalidRequest(name, status, expected_text, "PUT", "intake", path, {"json": {**valid_body, **change}})

    malformed = {"content": b"{not json", "headers": {"content-type": "application/json"}}
    yield InvalidRequest("not JSON", 422, "JSON", "PUT", "intake", path, malformed)
    yield put("a misspelled field", 422, "/body/cadence_dayz", cadence_dayz=7)
    yield put("a time without a time zone", 422, "/body/started_at", started_at="2026-01-05T09:00:00")
    ten_minutes_ahead = _format_time(existing.now + timedelta(minutes=10))
    yield put("a start ten minutes in the future", 409, "the time is now", started_at=ten_minutes_ahead)
    yield put("an unknown aim", 422, "/body/aims", aims=["to be happy"])
    yield put("an unknown clinic", 404, str(UNKNOWN_ID), clinic_id=str(UNKNOWN_ID))
    yield put("an unknown clinician", 404, str(UNKNOWN_ID), clinician_id=str(UNKNOWN_ID))
    row = f"{uuid5(course.id, 'row')},{course.clinician_id},{uuid5(course.id, 'c')},A1,yesterday,coping,7,yes\r\n"
    table = {"content": CASELOAD_HEADER + row, "headers": {"content-type": "text/csv"}}
    caseload = f"/clinics/{course.clinic_id}/caseload?dry_run=false"
    yield InvalidRequest("a caseload with an invalid row", 422, "/rows/2/started_at", "POST", "intake", caseload, table)
    yield InvalidRequest("an unknown path", 404, "", "GET", "intake", "/nowhere", {})


def _invalid_session_requests(existing: ExistingData) -> Iterator[InvalidRequest]:
    new_path, held_path = (
        f"/sessions/{uuid5(existing.ongoing_course.id, 'wrong')}",
        f"/sessions/{existing.answered_session.id}",
    )
    valid_body = {
        "relationship_id": str(existing.ongoing_course.id),
        "starts_at": _format_time(existing.now),
        "minutes": 50,
    }
    other_end = {"ended_at": _format_time(existing.answered_session.ended_at), "minutes": 49}
    in_two_days = {"ended_at": _format_time(existing.now + timedelta(days=2)), "minutes": 50}

    def put(name: str, status: int, expected_text: str, **change: Any) -> InvalidRequest:
        return InvalidRequest(
            name, status, expected_text, "PUT", "sessions", new_path, {"json": {**valid_body, **change}}
        )

    def post(name: str, status: int, expected_text: str, path: str, body: dict[str, Any]) -> InvalidRequest:
        return InvalidRequest(name, status, expected_text, "POST", "sessions", path, {"json": body})

    yield put("an unknown relationship", 404, "unknown-relationship", relationship_id=str(UNKNOWN_ID))
    yield put("a relationship that ended", 409, "relationship-ended", relationship_id=str(existing.ended_course.id))
    yield put("a session before the relationship", 409, "before-the-start", starts_at="2001-01-05T09:00:00Z")
    yield put("a session without a time zone", 422, "/body/starts_at", starts_at="2026-01-05T09:00:00")
    yield InvalidRequest(
        "a body too large", 413, "", "PUT", "sessions", new_path, {"json": {"minutes": OVERSIZED_TEXT}}
    )
    yield put("a session of zero minutes", 422, "/body/minutes", minutes=0)
    yield post("a second, different completion", 409, "session-already-completed", f"{held_path}/completion", other_end)
    yield post("a completed session marked missed", 409, "session-already-completed", f"{held_path}/missed", {})
    yield post(
        "a completion in the future",
        409,
        "in-the-future",
        f"/sessions/{existing.planned_session_id}/completion",
        in_two_days,
    )
    yield post("a link to an answered form", 409, "already-answered", f"{held_path}/client-link", {})
    yield post("an unknown session", 404, "unknown-session", f"/sessions/{UNKNOWN_ID}/missed", {})


def _invalid_answers(existing: ExistingData) -> Iterator[InvalidRequest]:
    ended_at = existing.answered_session.ended_at
    valid_body = {"given_at": _format_time(existing.now), "ratings": {"trust": 1}}

    def put(
        name: str, status: int, expected_text: str, session: UUID = existing.answered_session.id, **change: Any
    ) -> InvalidRequest:
        path = f"/sessions/{session}/feedback/client"
        return InvalidRequest(name, status, expected_text, "PUT", "sessions", path, {"json": {**valid_body, **change}})

    yield put("an answer to a session that was not held", 409, "session-not-held", session=existing.planned_session_id)
    yield put(
        "a correction given before the answer",
        409,
        "older-than",
        given_at=_format_time(ended_at + timedelta(seconds=1)),
    )
    yield put(
        "an answer before the session", 409, "before-the-session", given_at=_format_time(ended_at - timedelta(days=1))
    )
    yield put("an answer in the future", 409, "in-the-future", given_at=_format_time(existing.now + timedelta(days=1)))
    yield put("a rating of eleven", 422, "/body/ratings/trust", ratings={"trust": 11})
    yield put("an unknown element", 422, "/body/ratings", ratings={"charm": 5})
    yield put("no rating", 422, "/body", ratings={})
    yield put("an unknown instrument", 422, "/body/instrument", instrument={"name": "horoscope", "total": 3})
    yield put("a total out of range", 422, "/body/instrument", instrument={"name": "srs", "total": 41})
    yield put("no tension, but talked about", 422, "/body", tension="none", talked_about="yes")


def _invalid_links(existing: ExistingData) -> Iterator[InvalidRequest]:
    form = {"data": {"trust": "1"}}
    yield InvalidRequest("a used link", 410, "answered", "POST", "sessions", existing.used_link, form, PAGE_TYPE)
    yield InvalidRequest(
        "a used link, opened again", 410, "answered", "GET", "sessions", existing.used_link, {}, PAGE_TYPE
    )
    yield InvalidRequest("a forged link", 404, "does not work", "POST", "sessions", f"/f/{'A' * 43}", form, PAGE_TYPE)


def _other_invalid_requests() -> Iterator[InvalidRequest]:
    yield InvalidRequest("an unknown alliance", 404, "unknown", "GET", "alliance", f"/relationships/{UNKNOWN_ID}", {})
    yield InvalidRequest("an invalid id", 422, "/path", "GET", "alliance", "/relationships/42", {})
    shown = {"severity": "urgent", "status": "open", "evidence_version": "0123456789abcdef"}
    acknowledgement = {"json": {"id": str(UNKNOWN_ID), "shown": shown}}
    path = f"/alerts/{UNKNOWN_ID}/acknowledgement"
    yield InvalidRequest("an unknown alert", 404, "unknown", "POST", "notify", path, acknowledgement)
    yield InvalidRequest("an act on what was not shown", 422, "/body/shown", "POST", "notify", path, {"json": {}})
    channels = {"json": {"email": "not an address", "webhook": None}}
    yield InvalidRequest(
        "an invalid e-mail address", 422, "/body/email", "PUT", "notify", f"/clinicians/{UNKNOWN_ID}/channels", channels
    )


def _format_time(moment: datetime) -> str:
    return moment.isoformat()
