"""HTTP requests that are wrong, and how each must be answered; nothing of them may stay."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from tools.sandbox.network.clinic_systems import Clinics
from tools.sandbox.network.course import Course, Session

PROBLEM, PAGE = "application/problem+json", "text/html"
NOBODY = UUID("00000000-0000-4000-8000-000000000000")
TOO_LARGE = "x" * 1_100_000  # a service takes bodies of up to 1,000,000 bytes
CASELOAD = "relationship_id,clinician_id,client_id,case_code,started_at,aims,cadence_days,consent\r\n"


@dataclass(frozen=True)
class Wrong:
    """A request that must be refused with `status`; `says` is the part of the answer that tells why."""

    name: str
    status: int
    says: str
    method: str
    service: str
    path: str
    what: dict[str, Any]
    kind: str = PROBLEM


@dataclass(frozen=True)
class Known:
    """What is so, for requests to contradict."""

    going_on: Course
    ended: Course
    answered: Session
    """One of those that go on; its client has answered."""
    planned: UUID
    """The id of a session that has not been held."""
    used_link: str
    replaced_link: str
    now: datetime


async def prepare(clinics: Clinics, courses: list[Course], now: datetime) -> Known:
    """Find, or make, what the wrong requests are about."""
    ongoing_course = next(
        course for course in courses if course.ended is None and any(session.client for session in course.sessions)
    )
    answered_session = next(session for session in ongoing_course.sessions if session.client)
    planned_session_id = uuid5(ongoing_course.id, "planned")
    appointment = {
        "relationship_id": str(ongoing_course.id),
        "starts_at": _told(now + timedelta(days=1)),
        "minutes": 50,
    }
    await clinics.ask("PUT", "sessions", f"/sessions/{planned_session_id}", appointment)
    completion = {"ended_at": _told(answered_session.ended_at), "minutes": answered_session.minutes}
    first, second = [
        (await clinics.ask("POST", "sessions", f"/sessions/{answered_session.id}/completion", completion)).json()
        for _ in range(2)
    ]
    return Known(
        going_on=ongoing_course,
        ended=next(course for course in courses if course.ended is not None),
        answered=answered_session,
        planned=planned_session_id,
        used_link="/f/" + second["client_form"]["url"].rsplit("/", 1)[1],
        replaced_link="/f/" + first["client_form"]["url"].rsplit("/", 1)[1],
        now=now,
    )


async def answered_otherwise(clinics: Clinics, requests: list[Wrong]) -> list[str]:
    """Send every one; what is to be said of those that were not refused as they should be."""
    differences = []
    for request in requests:
        response = await clinics.try_once(request.method, request.service, request.path, **request.what)
        content_type = response.headers.get("content-type", "").split(";")[0]
        if (response.status_code, content_type) != (request.status, request.kind) or request.says not in response.text:
            differences.append(f"{request.name}: {response.status_code} {content_type} {response.text[:300]}")
    return differences


def wrongs(known: Known) -> list[Wrong]:
    """Every wrong request."""
    return [*_at_intake(known), *_at_sessions(known), *_answers(known), *_links(known), *_elsewhere()]


def _at_intake(known: Known) -> Iterator[Wrong]:
    course = known.going_on
    path = f"/relationships/{uuid5(course.id, 'wrong')}"
    valid_body = {
        "clinic_id": str(course.clinic_id),
        "clinician_id": str(course.clinician_id),
        "client_id": str(course.client_id),
        "started_at": _told(course.started_at),
        "aims": ["coping"],
        "cadence_days": 7,
        "consent": True,
    }

    def put(name: str, status: int, says: str, **change: Any) -> Wrong:
        return Wrong(name, status, says, "PUT", "intake", path, {"json": {**valid_body, **change}})

    malformed = {"content": b"{not json", "headers": {"content-type": "application/json"}}
    yield Wrong("not JSON", 422, "JSON", "PUT", "intake", path, malformed)
    yield put("a misspelt field", 422, "/body/cadence_dayz", cadence_dayz=7)
    yield put("a time without a zone", 422, "/body/started_at", started_at="2026-01-05T09:00:00")
    ten_minutes_ahead = _told(known.now + timedelta(minutes=10))
    yield put("a start by a clock that is ten minutes ahead", 409, "and now is", started_at=ten_minutes_ahead)
    yield put("an aim in words", 422, "/body/aims", aims=["to be happy"])
    yield put("an unknown clinic", 404, str(NOBODY), clinic_id=str(NOBODY))
    yield put("an unknown clinician", 404, str(NOBODY), clinician_id=str(NOBODY))
    row = f"{uuid5(course.id, 'row')},{course.clinician_id},{uuid5(course.id, 'c')},A1,yesterday,coping,7,yes\r\n"
    table = {"content": CASELOAD + row, "headers": {"content-type": "text/csv"}}
    caseload = f"/clinics/{course.clinic_id}/caseload?dry_run=false"
    yield Wrong("a caseload with a wrong row", 422, "/rows/2/started_at", "POST", "intake", caseload, table)
    yield Wrong("no such page", 404, "", "GET", "intake", "/nowhere", {})


def _at_sessions(known: Known) -> Iterator[Wrong]:
    new_path, held_path = f"/sessions/{uuid5(known.going_on.id, 'wrong')}", f"/sessions/{known.answered.id}"
    valid_body = {"relationship_id": str(known.going_on.id), "starts_at": _told(known.now), "minutes": 50}
    other_end = {"ended_at": _told(known.answered.ended_at), "minutes": 49}
    in_two_days = {"ended_at": _told(known.now + timedelta(days=2)), "minutes": 50}

    def put(name: str, status: int, says: str, **change: Any) -> Wrong:
        return Wrong(name, status, says, "PUT", "sessions", new_path, {"json": {**valid_body, **change}})

    def post(name: str, status: int, says: str, path: str, body: dict[str, Any]) -> Wrong:
        return Wrong(name, status, says, "POST", "sessions", path, {"json": body})

    yield put("an unknown relationship", 404, "unknown-relationship", relationship_id=str(NOBODY))
    yield put("a relationship that ended", 409, "relationship-ended", relationship_id=str(known.ended.id))
    yield put("a session before the start", 409, "before-the-start", starts_at="2001-01-05T09:00:00Z")
    yield put("a session without a zone", 422, "/body/starts_at", starts_at="2026-01-05T09:00:00")
    yield Wrong("a body too large", 413, "", "PUT", "sessions", new_path, {"json": {"minutes": TOO_LARGE}})
    yield put("a session of no length", 422, "/body/minutes", minutes=0)
    yield post("held twice, otherwise", 409, "session-already-completed", f"{held_path}/completion", other_end)
    yield post("held and missed", 409, "session-already-completed", f"{held_path}/missed", {})
    yield post("held in the future", 409, "in-the-future", f"/sessions/{known.planned}/completion", in_two_days)
    yield post("an unknown session", 404, "unknown-session", f"/sessions/{NOBODY}/missed", {})


def _answers(known: Known) -> Iterator[Wrong]:
    ended_at = known.answered.ended_at
    valid_body = {"given_at": _told(known.now), "ratings": {"trust": 1}}

    def put(name: str, status: int, says: str, session: UUID = known.answered.id, **change: Any) -> Wrong:
        path = f"/sessions/{session}/feedback/client"
        return Wrong(name, status, says, "PUT", "sessions", path, {"json": {**valid_body, **change}})

    yield put("an answer to a session never held", 409, "session-not-held", session=known.planned)
    yield put("another answer, given earlier", 409, "older-than", given_at=_told(ended_at + timedelta(seconds=1)))
    yield put("an answer before the session", 409, "before-the-session", given_at=_told(ended_at - timedelta(days=1)))
    yield put("an answer from the future", 409, "in-the-future", given_at=_told(known.now + timedelta(days=1)))
    yield put("a rating of eleven", 422, "/body/ratings/trust", ratings={"trust": 11})
    yield put("an unknown element", 422, "/body/ratings", ratings={"charm": 5})
    yield put("no rating at all", 422, "/body", ratings={})
    yield put("an unknown instrument", 422, "/body/instrument", instrument={"name": "horoscope", "total": 3})
    yield put("a total out of range", 422, "/body/instrument", instrument={"name": "srs", "total": 41})
    yield put("a tension talked about that was none", 422, "/body", tension="none", talked_about="yes")


def _links(known: Known) -> Iterator[Wrong]:
    form = {"data": {"trust": "1"}}
    yield Wrong("a used link", 410, "answered", "POST", "sessions", known.used_link, form, PAGE)
    yield Wrong("a used link, looked at", 410, "answered", "GET", "sessions", known.used_link, {}, PAGE)
    yield Wrong("a replaced link", 404, "does not work", "GET", "sessions", known.replaced_link, {}, PAGE)
    yield Wrong("a forged link", 404, "does not work", "POST", "sessions", f"/f/{'A' * 43}", form, PAGE)


def _elsewhere() -> Iterator[Wrong]:
    yield Wrong("an unknown alliance", 404, "unknown", "GET", "alliance", f"/relationships/{NOBODY}", {})
    yield Wrong("an id that is none", 422, "/path", "GET", "alliance", "/relationships/42", {})
    yield Wrong("an unknown alert", 404, "unknown", "POST", "notify", f"/alerts/{NOBODY}/acknowledgement", {"json": {}})
    channels = {"json": {"email": "not an address", "webhook": None}}
    yield Wrong("no e-mail address", 422, "/body/email", "PUT", "notify", f"/clinicians/{NOBODY}/channels", channels)


def _told(moment: datetime) -> str:
    return moment.isoformat()
