"""The clinics' own systems, and people's browsers: they know nothing but the public HTTP APIs.

A request that finds a service away, or comes before the news that it builds on, is sent again with the same ids.
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
from uuid import UUID

import httpx2

from shared.events import Rater
from shared.runtime.backoff import backoff
from tools.sandbox.network.course import WINDOW, Clinic, Clinician, Course, Said, Session
from tools.sandbox.network.ledger import Ledger, Taken

AT_ONCE = 32  # relationships told of, and so requests in flight: as many desks a clinic network may have
PATIENCE = 60.0  # seconds in which a service that is away, or news that is on its way, should arrive
LATER = ("unknown-relationship", "unknown-clinician", "unknown-client", "unknown-clinic", "no-consent", "unavailable")


class NotTaken(Exception):
    """A service refused what should have been right, or did not answer for a long while."""


class Clinics:
    """All clinics of the network. Each relationship is told of in order, many relationships at once."""

    def __init__(self, urls: Mapping[str, Sequence[str]], ledger: Ledger, timeout_seconds: float = PATIENCE) -> None:
        """Of each service there may be several processes: every request, and every further try, asks the next."""
        self.ledger = ledger
        self._urls = urls
        self._patience = timeout_seconds
        self._turn = count()
        self._desks = asyncio.Semaphore(AT_ONCE)
        self._ends = AsyncExitStack()

    async def __aenter__(self) -> Self:
        limits = httpx2.Limits(max_connections=4 * AT_ONCE, max_keepalive_connections=4 * AT_ONCE)
        self._http = await self._ends.enter_async_context(httpx2.AsyncClient(timeout=30, limits=limits))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._ends.aclose()

    async def get(self, service: str, path: str) -> Any:
        """What a service answers to a question."""
        return (await self.ask("GET", service, path)).json()

    async def ask(self, method: str, service: str, path: str, body: Any = None) -> httpx2.Response:
        """Ask until it is done. Raises NotTaken."""
        return await self._until_taken(method, service, path, json=body)

    async def try_once(self, method: str, service: str, path: str, **what: Any) -> httpx2.Response:
        """Ask once, whatever the answer."""
        return await self._http.request(method, self._urls[service][0] + path, **what)

    async def listen(self, service: str, path: str) -> AsyncIterator[Any]:
        """What a service sends as it happens (server-sent events)."""
        async with self._http.stream("GET", self._urls[service][0] + path, timeout=None) as response:
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))

    async def open_clinic(self, clinic: Clinic) -> None:
        body = {"name": clinic.name, "time_zone": clinic.time_zone, "crisis_contact": "the on-call desk"}
        await self.ask("PUT", "intake", f"/clinics/{clinic.id}", body)

    async def employ(self, clinician: Clinician, time_zone: str, webhook_base_url: str) -> None:
        """Register a clinician, and how they want to be told."""
        path = f"/clinicians/{clinician.id}"
        contact = clinician.email or f"{clinician.name}@example.org"
        await self.ask(
            "PUT", "intake", path, {"clinic_id": str(clinician.clinic_id), "contact": contact, "time_zone": time_zone}
        )
        webhook = (
            {"url": f"{webhook_base_url}/{clinician.id}", "secret": secret(clinician.id)} if clinician.webhook else None
        )
        await self.ask("PUT", "notify", f"{path}/channels", {"email": clinician.email, "webhook": webhook})

    async def live_through(self, course: Course) -> None:
        """Tell of a relationship from its start until today, and of those that followed it."""
        async with self._desks:
            try:
                await self.begin(course)
                await self.go_on(course)
            except NotTaken as error:
                self.ledger.refused.append(str(error))

    async def begin(self, course: Course) -> None:
        client = {"clinic_id": str(course.clinic_id), "case_code": course.case_code}
        await self.ask("PUT", "intake", f"/clients/{course.client_id}", client)
        await self.ask(
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
        self.ledger.started.add(course.id)

    async def go_on(self, course: Course) -> None:
        """Tell of the sessions, in the order in which they reach the clinic's system, and of the end."""
        delayed_sessions: list[Session] = []
        for session in course.sessions:
            if session.entered_late:
                delayed_sessions.append(session)
                continue
            await self.hold(course.id, session)
            while delayed_sessions:
                await self.hold(course.id, delayed_sessions.pop())
        for session in delayed_sessions:
            await self.hold(course.id, session)
        if course.successor is not None and course.ended is not None:
            successor_fields = {
                "clinician_id": str(course.successor.clinician_id),
                "relationship_id": str(course.successor.id),
            }
            body = {**successor_fields, "at": course.ended[0].isoformat()}
            await self.ask("POST", "intake", f"/relationships/{course.id}/transfer", body)
            self.ledger.started.add(course.successor.id)
            await self.go_on(course.successor)
        elif course.ended is not None:
            ended_at, reason = course.ended
            body = {"reason": reason, "at": ended_at.isoformat()}
            await self.ask("POST", "intake", f"/relationships/{course.id}/end", body)

    async def hold(self, relationship: UUID, session: Session) -> None:
        """Tell of one session: the appointment, what became of it, and what the two said."""
        path = f"/sessions/{session.id}"
        appointment = {
            "relationship_id": str(relationship),
            "starts_at": session.starts_at.isoformat(),
            "minutes": session.minutes,
        }
        await self.ask("PUT", "sessions", path, appointment)
        match session.outcome:
            case "missed":
                await self.ask("POST", "sessions", f"{path}/missed", {})
                self.ledger.missed.setdefault(relationship, set()).add(session.id)
            case "cancelled":
                assert session.cancelled_at
                body = {"by": session.cancelled_by, "cancelled_at": session.cancelled_at.isoformat()}
                await self.ask("POST", "sessions", f"{path}/cancellation", body)
                self.ledger.cancelled.setdefault(relationship, set()).add(session.id)
            case "held":
                await self._held(relationship, session)

    async def _held(self, relationship: UUID, session: Session) -> None:
        body = {"ended_at": session.ended_at.isoformat(), "minutes": session.minutes}
        forms = (await self.ask("POST", "sessions", f"/sessions/{session.id}/completion", body)).json()
        self.ledger.held.setdefault(relationship, set()).add(session.id)
        for rater, said in self._answers(session):
            if said is None:
                if rater == "client":
                    self.ledger.silent.setdefault(relationship, {})[session.id] = session.ended_at + WINDOW
                continue
            if said.at is None:
                await self.answer_by_link(forms[f"{rater}_form"]["url"], said)
            else:
                await self.answer(session.id, rater, said)
            scores = self.ledger.said.setdefault(relationship, {})
            scores[session.id, rater] = said.in_the_end.score

    @staticmethod
    def _answers(session: Session) -> tuple[tuple[Rater, Said | None], ...]:
        return ("client", session.client), ("clinician", session.clinician)

    async def answer(self, session: UUID, rater: Rater, said: Said) -> None:
        """Enter an answer that was given on paper, and its correction."""
        path = f"/sessions/{session}/feedback/{rater}"
        try:
            await self.ask("PUT", "sessions", path, _on_paper(said))
        except NotTaken as error:
            # Told before, and corrected since: this clinic's system was stopped and tells its day again.
            if said.corrected is None or "older-than-what-is-known" not in str(error):
                raise
        if said.corrected is not None:
            await self.ask("PUT", "sessions", path, _on_paper(said.corrected))

    async def react(self, clinician: UUID) -> None:
        """A clinician looks into the inbox, and is done with what was taken on, or else takes on the first alert."""
        alerts = (await self.get("notify", f"/clinicians/{clinician}/inbox"))["alerts"]
        if acknowledged_ids := [alert["alert_id"] for alert in alerts if alert["status"] == "acknowledged"]:
            await self.ask("POST", "notify", f"/alerts/{acknowledged_ids[0]}/resolution", {"useful": True})
        elif open_ids := [alert["alert_id"] for alert in alerts if alert["status"] == "open"]:
            await self.ask("POST", "notify", f"/alerts/{open_ids[0]}/acknowledgement", {})

    async def answer_by_link(self, url: str, said: Said) -> None:
        """Open the form in a browser, and send it."""
        local_paths = (url.removeprefix(base) for base in self._urls["sessions"] if url.startswith(f"{base}/"))
        path = next(local_paths, url)  # behind a gateway it leads there
        await self._until_taken("GET", "sessions", path)
        ratings = {name: str(rating) for name, rating in said.ratings.items()}
        questions = {"tension": said.tension or "", "talked_about": said.talked_about or ""}
        await self._until_taken("POST", "sessions", path, data={**ratings, **questions})

    async def _until_taken(self, method: str, service: str, path: str, **what: Any) -> httpx2.Response:
        deadline = time.monotonic() + self._patience
        for wait_seconds in backoff(longest=1.0):
            base_url = self._urls[service][next(self._turn) % len(self._urls[service])]
            url = path if path.startswith("https://") else base_url + path
            try:
                response = await self._http.request(method, url, **what)
            except httpx2.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                if response.status_code < 400:
                    self._note(method, service, path, what.get("json") or what.get("data"), response)
                    return response
                problem = f"{response.status_code}: {response.text[:500]}"
                if response.status_code != 503 and not any(problem_code in problem for problem_code in LATER):
                    raise NotTaken(f"{method} {url}: {problem}")
            if time.monotonic() > deadline:
                raise NotTaken(f"{method} {url}, for {self._patience:.0f} s: {problem}")
            self.ledger.sent["tried again"] += 1
            await asyncio.sleep(wait_seconds)
        raise AssertionError("backoff never ends")

    def _note(self, method: str, service: str, path: str, body: Any, answer: httpx2.Response) -> None:
        self.ledger.sent["done"] += 1
        if method != "GET":
            response_body = (
                answer.json() if answer.headers.get("content-type", "").startswith("application/json") else None
            )
            self.ledger.taken.append(Taken(method, service, path, body or {}, response_body, datetime.now(UTC)))


def secret(clinician: UUID) -> str:
    """The secret that a clinic's system shares with Attune, to know its webhooks by (Standard Webhooks)."""
    return "whsec_" + base64.b64encode(clinician.bytes + clinician.bytes).decode()


def _on_paper(said: Said) -> dict[str, Any]:
    assert said.at
    body: dict[str, Any] = {"given_at": said.at.isoformat()}
    if said.srs is None:
        body["ratings"] = dict(said.ratings)
    else:
        body["instrument"] = {"name": "srs", "total": said.srs}
    if said.tension is not None:
        body["tension"] = said.tension
    if said.talked_about is not None:
        body["talked_about"] = said.talked_about
    return body
