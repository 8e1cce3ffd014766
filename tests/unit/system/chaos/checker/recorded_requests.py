"""The acknowledged requests of a small run without faults: ten weeks of one relationship."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from tests.support.builders import ELEMENTS
from tools.sandbox.network.ledger import AcknowledgedRequest

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
STARTED_AT = NOW - timedelta(minutes=10)
CLINIC_ID = UUID(int=1)
RELATIONSHIP_ID, CLIENT_ID = UUID(int=3), UUID(int=4)
PERSON_ID = UUID(int=5)
WEEKS = 10
RELATIONSHIP_STARTED_AT = NOW - timedelta(weeks=WEEKS, days=2)
MISSED_WEEK, CANCELLED_WEEK, UNANSWERED_WEEK, AMENDED_WEEK, LAST_WEEK = 3, 4, 5, 6, WEEKS
OLD_ALERT_ID = UUID(int=9)
"""An alert that was repaired before it could be acknowledged."""

Document = dict[str, Any]
Request = tuple[str, str, str, Document, Any]


def session_id(week: int) -> UUID:
    return uuid5(RELATIONSHIP_ID, f"session {week}")


def session_time(week: int) -> datetime:
    return RELATIONSHIP_STARTED_AT + timedelta(weeks=week)


def ratings(value: int) -> dict[str, int]:
    return dict.fromkeys(ELEMENTS, value)


def client_requests() -> list[AcknowledgedRequest]:
    """The requests of clients and their responses."""
    ids = {"clinic_id": str(CLINIC_ID), "clinician_id": str(CLINIC_ID), "client_id": str(CLIENT_ID)}
    body = {**ids, "started_at": session_time(0).isoformat(), "aims": ["coping"], "cadence_days": 7, "consent": True}
    clinic = {"name": "Linden", "time_zone": "Europe/Berlin", "crisis_contact": "the desk", "crisis_numbers": ["112"]}
    requests: list[Request] = [
        ("PUT", "intake", f"/clinics/{CLINIC_ID}", clinic, {}),
        *_staff_requests(),
        ("PUT", "intake", f"/clinicians/{CLINIC_ID}", {"clinic_id": str(CLINIC_ID), "time_zone": "Europe/Berlin"}, {}),
        ("PUT", "intake", f"/clients/{CLIENT_ID}", {"clinic_id": str(CLINIC_ID), "case_code": "AB-1234"}, {}),
        ("PUT", "intake", f"/relationships/{RELATIONSHIP_ID}", body, {}),
        *(request for week in range(1, WEEKS + 1) for request in _week_requests(week)),
        ("POST", "notify", f"/alerts/{OLD_ALERT_ID}/acknowledgement", {}, {"status": "repaired", "severity": "urgent"}),
    ]
    return [
        AcknowledgedRequest(*request, STARTED_AT + timedelta(seconds=number)) for number, request in enumerate(requests)
    ]


def _staff_requests() -> list[Request]:
    """Somebody works at the desk first, and then leads the clinic. The last request is repeated."""
    path = f"/clinics/{CLINIC_ID}/people/{PERSON_ID}"
    lead: Request = ("PUT", "intake", f"/clinics/{CLINIC_ID}/lead", {"person_id": str(PERSON_ID)}, {})
    return [
        ("PUT", "intake", path, {"roles": ["desk"], "clinician_id": None}, {}),
        ("PUT", "intake", path, {"roles": ["supervisor"], "clinician_id": None}, {}),
        ("PUT", "intake", f"{path}/invitation", {}, {}),
        lead,
        lead,
    ]


def _week_requests(week: int) -> list[Request]:
    path, starts_at = f"/sessions/{session_id(week)}", session_time(week)
    appointment = {"relationship_id": str(RELATIONSHIP_ID), "starts_at": starts_at.isoformat(), "minutes": 50}
    requests: list[Request] = [("PUT", "sessions", path, appointment, {})]
    if week == MISSED_WEEK:
        return [*requests, ("POST", "sessions", f"{path}/missed", {}, {})]
    if week == CANCELLED_WEEK:
        cancelled_at = (starts_at - timedelta(days=3)).isoformat()
        body = {"by": "clinic", "cancelled_at": cancelled_at}
        return [*requests, ("POST", "sessions", f"{path}/cancellation", body, {})]
    ended_at = starts_at + timedelta(minutes=50)
    completed = {
        "feedback": {"client": {}, "clinician": {}},
        "clinician_form": {"url": f"http://here/f/clinician{week}"},
    }
    client_link = {"url": f"http://here/f/client{week}"}
    completion = {"ended_at": ended_at.isoformat(), "minutes": 50}
    requests += [("POST", "sessions", f"{path}/completion", completion, completed)] * 2  # the client had to retry
    requests.append(("POST", "sessions", f"{path}/client-link", {}, client_link))
    paper_answer = {"given_at": (ended_at + timedelta(hours=1)).isoformat(), "ratings": ratings(9), "tension": "none"}
    requests.append(("PUT", "sessions", f"{path}/feedback/clinician", paper_answer, {}))
    if week == LAST_WEEK:
        form_fields = {
            **{name: str(rating) for name, rating in ratings(1).items()},
            "tension": "yes",
            "talked_about": "not",
        }
        requests.append(("POST", "sessions", f"/f/client{week}", form_fields, None))
    elif week != UNANSWERED_WEEK:
        requests.append(("PUT", "sessions", f"{path}/feedback/client", paper_answer, {}))
    if week == AMENDED_WEEK:
        given_at = (ended_at + timedelta(hours=20)).isoformat()
        amended_answer = {**paper_answer, "given_at": given_at, "ratings": ratings(8)}
        requests.append(("PUT", "sessions", f"{path}/feedback/client", amended_answer, {}))
    return requests
