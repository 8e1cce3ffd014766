"""The simulated systems of clinics and browsers of people; they use only the public HTTP APIs.

A request is retried with the same ids if a service is unavailable or has not yet received the events it depends on.
"""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import count
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

import httpx2

from shared.events import Rater
from shared.runtime.backoff import backoff
from tools.sandbox.network.course import FEEDBACK_WINDOW, Clinic, Clinician, Course, Session, SimulatedAnswer
from tools.sandbox.network.ledger import AcknowledgedRequest, Ledger
from tools.sandbox.servers.front_door_routes import address_of

MAX_CONCURRENT_RELATIONSHIPS = 32  # and so requests in flight: the number of desks in a clinic network
REQUEST_TIMEOUT_SECONDS = 60.0  # how long a request is retried
RETRYABLE_PROBLEMS = (
    "unknown-relationship",
    "unknown-clinician",
    "unknown-client",
    "unknown-clinic",
    "no-consent",
    "unavailable",
)


class RequestFailed(Exception):
    """A service rejected a valid request, or did not accept it before the timeout."""


class ClinicSystems:
    """All clinics of the network. Each relationship is submitted in order, many relationships concurrently."""

    def __init__(
        self, urls: Mapping[str, Sequence[str]], ledger: Ledger, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS
    ) -> None:
        """`urls` has one or more processes per service; every attempt goes to the next one."""
        self.ledger = ledger
        self._urls = urls
        self._timeout_seconds = timeout_seconds
        self._request_numbers = count()
        self._relationship_slots = asyncio.Semaphore(MAX_CONCURRENT_RELATIONSHIPS)
        self._exit_stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        connections = 4 * MAX_CONCURRENT_RELATIONSHIPS
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._http = await self._exit_stack.enter_async_context(httpx2.AsyncClient(timeout=30, limits=limits))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit_stack.aclose()

    async def get(self, service: str, path: str) -> Any:
        """The JSON of a GET response. Raises RequestFailed."""
        return (await self.request("GET", service, path)).json()

    async def request(self, method: str, service: str, path: str, body: Any = None) -> httpx2.Response:
        """Send a request, with retries, until it is accepted. Raises RequestFailed."""
        return await self._request_until_accepted(method, service, path, json=body)

    async def request_once(self, method: str, service: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request once and return the response, whatever its status."""
        return await self._http.request(method, address_of(path, self._urls[service][0]), **options)

    async def stream_events(self, service: str, path: str) -> AsyncIterator[Any]:
        """The data of server-sent events without a name, which pings have. Raises HTTPStatusError."""
        async with self._http.stream("GET", self._urls[service][0] + path, timeout=None) as response:
            response.raise_for_status()
            event_name = ""
            async for line in response.aiter_lines():
                if line.startswith("event:"):
                    event_name = line
                elif line.startswith("data:") and not event_name:
                    yield json.loads(line.removeprefix("data:"))
                elif not line:
                    event_name = ""

    async def register_clinic(self, clinic: Clinic) -> None:
        body: dict[str, Any] = {"name": clinic.name, "time_zone": clinic.time_zone}
        body |= {"crisis_contact": "the on-call desk", "crisis_numbers": ["+1 202 555 0112"]}  # reserved for fiction
        await self.request("PUT", "intake", f"/clinics/{clinic.id}", body)

    async def register_clinician(self, clinician: Clinician, time_zone: str, webhook_base_url: str) -> None:
        """Register a clinician and their channels."""
        path = f"/clinicians/{clinician.id}"
        contact = clinician.email or f"{clinician.name}@example.org"
        await self.request(
            "PUT", "intake", path, {"clinic_id": str(clinician.clinic_id), "contact": contact, "time_zone": time_zone}
        )
        webhook = (
            {"url": f"{webhook_base_url}/{clinician.id}", "secret": webhook_secret(clinician.id)}
            if clinician.has_webhook
            else None
        )
        await self.request("PUT", "notify", f"{path}/channels", {"email": clinician.email, "webhook": webhook})

    async def submit_course(self, course: Course) -> None:
        """Submit a relationship from its start until today, and its successors after a transfer."""
        async with self._relationship_slots:
            try:
                await self.start_relationship(course)
                await self.submit_sessions(course)
            except RequestFailed as error:
                self.ledger.failed_requests.append(str(error))

    async def start_relationship(self, course: Course) -> None:
        client = {"clinic_id": str(course.clinic_id), "case_code": course.case_code}
        await self.request("PUT", "intake", f"/clients/{course.client_id}", client)
        await self.request(
            "PUT",
            "intake",
            f"/relationships/{course.id}",
            {
                "clinic_id": str(course.clinic_id),
                "clinician_id": str(course.clinician_id),
                "client_id": str(course.client_id),
                "started_at": course.started_at.isoformat(),
                "aims": course.aims,
                "cadence_days": course.cadence_days,
                "consent": True,
            },
        )
        self.ledger.started_relationships.add(course.id)

    async def submit_sessions(self, course: Course) -> None:
        """Submit the sessions in the order in which they were entered, and the end of the relationship."""
        delayed_sessions: list[Session] = []
        for session in course.sessions:
            if session.is_entered_late:
                delayed_sessions.append(session)
                continue
            await self.submit_session(course.id, session)
            while delayed_sessions:
                await self.submit_session(course.id, delayed_sessions.pop())
        for session in delayed_sessions:
            await self.submit_session(course.id, session)
        if course.successor is not None and course.ending is not None:
            successor_fields = {
                "clinician_id": str(course.successor.clinician_id),
                "relationship_id": str(course.successor.id),
            }
            body = {**successor_fields, "at": course.ending[0].isoformat()}
            await self.request("POST", "intake", f"/relationships/{course.id}/transfer", body)
            self.ledger.started_relationships.add(course.successor.id)
            await self.submit_sessions(course.successor)
        elif course.ending is not None:
            ended_at, reason = course.ending
            body = {"reason": reason, "at": ended_at.isoformat()}
            await self.request("POST", "intake", f"/relationships/{course.id}/end", body)

    async def submit_session(self, relationship: UUID, session: Session) -> None:
        """Submit one session: the appointment, its outcome, and the answers."""
        path = f"/sessions/{session.id}"
        appointment = {
            "relationship_id": str(relationship),
            "starts_at": session.starts_at.isoformat(),
            "minutes": session.minutes,
        }
        await self.request("PUT", "sessions", path, appointment)
        match session.outcome:
            case "missed":
                await self.request("POST", "sessions", f"{path}/missed", {})
                self.ledger.missed_sessions.setdefault(relationship, set()).add(session.id)
            case "cancelled":
                assert session.cancelled_at
                body = {"by": session.cancelled_by, "cancelled_at": session.cancelled_at.isoformat()}
                await self.request("POST", "sessions", f"{path}/cancellation", body)
                self.ledger.cancelled_sessions.setdefault(relationship, set()).add(session.id)
            case "held":
                await self._complete_session(relationship, session)

    async def _complete_session(self, relationship: UUID, session: Session) -> None:
        body = {"ended_at": session.ended_at.isoformat(), "minutes": session.minutes}
        completion = (await self.request("POST", "sessions", f"/sessions/{session.id}/completion", body)).json()
        self.ledger.held_sessions.setdefault(relationship, set()).add(session.id)
        for rater, answer in self._answers_by_rater(session):
            if answer is None:
                if rater == "client":
                    self.ledger.unanswered_until.setdefault(relationship, {})[session.id] = (
                        session.ended_at + FEEDBACK_WINDOW
                    )
                continue
            if answer.given_at is None:
                await self.answer_form(await self.form_url(session.id, rater, completion), answer)
            else:
                await self.submit_paper_answer(session.id, rater, answer)
            scores = self.ledger.scores.setdefault(relationship, {})
            scores[session.id, rater] = answer.final.score

    async def form_url(self, session: UUID, rater: Rater, completion: Mapping[str, Any]) -> str:
        """The link to a form. The clinician's comes with the completion; the clinic sends the client theirs."""
        if rater == "clinician":
            return str(completion["clinician_form"]["url"])
        return str((await self.request("POST", "sessions", f"/sessions/{session}/client-link", {})).json()["url"])

    @staticmethod
    def _answers_by_rater(session: Session) -> tuple[tuple[Rater, SimulatedAnswer | None], ...]:
        return ("client", session.client), ("clinician", session.clinician)

    async def submit_paper_answer(self, session: UUID, rater: Rater, answer: SimulatedAnswer) -> None:
        """Submit an answer that was given on paper, and its correction."""
        path = f"/sessions/{session}/feedback/{rater}"
        try:
            await self.request("PUT", "sessions", path, _paper_answer_body(answer))
        except RequestFailed as error:
            # Submitted and corrected before: the simulation was stopped and submits the answer again.
            if answer.correction is None or "older-than-what-is-known" not in str(error):
                raise
        if answer.correction is not None:
            await self.request("PUT", "sessions", path, _paper_answer_body(answer.correction))

    async def handle_next_alert(self, clinician: UUID) -> None:
        """Resolve the first acknowledged alert in the inbox; if there is none, acknowledge the first open one."""
        alerts = (await self.get("notify", f"/clinicians/{clinician}/inbox"))["alerts"]
        first_by_status = {alert["status"]: alert for alert in reversed(alerts)}
        if (alert := first_by_status.get("acknowledged") or first_by_status.get("open")) is None:
            return
        resolution = ("resolution", {"useful": True})
        action, fields = resolution if alert["status"] == "acknowledged" else ("acknowledgement", {})
        path, body = f"/alerts/{alert['alert_id']}/{action}", {"id": str(uuid4()), "shown": alert["shown"], **fields}
        try:
            await self.request("POST", "notify", path, body)
        except RequestFailed as error:
            if "alert-changed" not in str(error):  # it has changed since it was read: next time
                raise

    async def answer_form(self, url: str, answer: SimulatedAnswer) -> None:
        """Open the form like a browser, and submit it."""
        local_paths = (url.removeprefix(base) for base in self._urls["sessions"] if url.startswith(f"{base}/"))
        path = next(local_paths, url)  # behind a front door the link points at the front door
        await self._request_until_accepted("GET", "sessions", path)
        ratings = {name: str(rating) for name, rating in answer.ratings.items()}
        questions = {"tension": answer.tension or "", "talked_about": answer.talked_about or ""}
        await self._request_until_accepted("POST", "sessions", path, data={**ratings, **questions})

    async def _request_until_accepted(self, method: str, service: str, path: str, **options: Any) -> httpx2.Response:
        deadline = time.monotonic() + self._timeout_seconds
        for wait_seconds in backoff(max_delay_seconds=1.0):
            url = address_of(path, self._urls[service][next(self._request_numbers) % len(self._urls[service])])
            try:
                response = await self._http.request(method, url, **options)
            except httpx2.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                if response.status_code < 400:
                    self._record_request(method, service, path, options.get("json") or options.get("data"), response)
                    return response
                problem = f"{response.status_code}: {response.text[:500]}"
                if response.status_code != 503 and not any(
                    problem_code in problem for problem_code in RETRYABLE_PROBLEMS
                ):
                    raise RequestFailed(f"{method} {url}: {problem}")
            if time.monotonic() > deadline:
                raise RequestFailed(f"{method} {url}, for {self._timeout_seconds:.0f} s: {problem}")
            self.ledger.request_counts["retried"] += 1
            await asyncio.sleep(wait_seconds)
        raise AssertionError("backoff never ends")

    def _record_request(self, method: str, service: str, path: str, body: Any, response: httpx2.Response) -> None:
        self.ledger.request_counts["accepted"] += 1
        if method != "GET":
            response_body = (
                response.json() if response.headers.get("content-type", "").startswith("application/json") else None
            )
            self.ledger.requests.append(
                AcknowledgedRequest(method, service, path, body or {}, response_body, datetime.now(UTC))
            )


def webhook_secret(clinician: UUID) -> str:
    """The secret that a clinic's system shares with Attune to verify webhooks (Standard Webhooks)."""
    return "whsec_" + base64.b64encode(clinician.bytes + clinician.bytes).decode()


def _paper_answer_body(answer: SimulatedAnswer) -> dict[str, Any]:
    assert answer.given_at
    body: dict[str, Any] = {"given_at": answer.given_at.isoformat()}
    if answer.srs_total is None:
        body["ratings"] = dict(answer.ratings)
    else:
        body["instrument"] = {"name": "srs", "total": answer.srs_total}
    if answer.tension is not None:
        body["tension"] = answer.tension
    if answer.talked_about is not None:
        body["talked_about"] = answer.talked_about
    return body
