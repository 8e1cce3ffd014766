"""The simulated systems of clinics and browsers of people; they use only the public HTTP APIs."""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2

from shared.events import EndReason, Rater
from tools.sandbox.network.course import FEEDBACK_WINDOW, Clinic, Clinician, Course, Session, SimulatedAnswer
from tools.sandbox.network.credentials import Credentials
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.network.retrying_client import REQUEST_TIMEOUT_SECONDS, RequestFailed, RetryingClient
from tools.sandbox.network.staff import StaffMember, administrator_of, clinician_as_staff, invited_staff, lead_of

MAX_CONCURRENT_RELATIONSHIPS = 32  # and so requests in flight: the number of desks in a clinic network


class ClinicSystems(RetryingClient):
    """All clinics of the network. Each relationship is submitted in order, many relationships concurrently."""

    def __init__(
        self,
        urls: Mapping[str, Sequence[str]],
        credentials: Credentials,
        ledger: Ledger,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    ) -> None:
        """`urls` has one or more processes per service; every attempt goes to the next one."""
        super().__init__(urls, ledger, timeout_seconds)
        self.credentials = credentials
        self._relationship_slots = asyncio.Semaphore(MAX_CONCURRENT_RELATIONSHIPS)

    async def register_clinic(self, clinic: Clinic) -> None:
        """Register a clinic, its system and its people who are no clinicians."""
        await self.credentials.let_in_administrator(administrator_of(clinic))
        body: dict[str, Any] = {"name": clinic.name, "time_zone": clinic.time_zone}
        body |= {"crisis_contact": "the on-call desk", "crisis_numbers": ["+1 202 555 0112"]}  # reserved for fiction
        administrator = self.credentials.person(clinic.id, "administrator")
        await self.request("PUT", "intake", f"/clinics/{clinic.id}", administrator, body)
        await self.add_staff(clinic)

    async def add_staff(self, clinic: Clinic) -> None:
        """Let the administrator add the clinic's system and the people who are no clinicians."""
        await self.credentials.let_in_machine(clinic)
        for member in invited_staff(clinic):
            await self.employ(member)
        path, administrator = f"/clinics/{clinic.id}/lead", self.credentials.person(clinic.id, "administrator")
        await self.request("PUT", "intake", path, administrator, {"person_id": str(lead_of(clinic).person_id)})

    async def employ(self, member: StaffMember) -> None:
        """Let the administrator add a person, who signs in."""
        path = f"/clinics/{member.clinic_id}/people/{member.person_id}"
        administrator = self.credentials.person(member.clinic_id, "administrator")
        clinician_id = member.clinician_id and str(member.clinician_id)
        body = {"roles": [member.role], "clinician_id": clinician_id}
        await self.request("PUT", "intake", path, administrator, body)

        async def invite() -> str:
            return str((await self.request("PUT", "intake", f"{path}/invitation", administrator)).json()["link"])

        await self.credentials.let_in(member, invite)

    async def register_clinician(self, clinician: Clinician, time_zone: str, webhook_base_url: str) -> None:
        """Register a clinician and their channels."""
        path = f"/clinicians/{clinician.id}"
        contact = clinician.email or f"{clinician.name}@example.org"
        body = {"clinic_id": str(clinician.clinic_id), "contact": contact, "time_zone": time_zone}
        await self.request("PUT", "intake", path, self.credentials.machine(clinician.clinic_id), body)
        await self.employ(clinician_as_staff(clinician))
        webhook = (
            {"url": f"{webhook_base_url}/{clinician.id}", "secret": webhook_secret(clinician.id)}
            if clinician.has_webhook
            else None
        )
        channels = {"email": clinician.email, "webhook": webhook}
        await self.request("PUT", "notify", f"{path}/channels", self.credentials.clinician(clinician.id), channels)

    async def submit_course(self, course: Course) -> None:
        """Submit a relationship from its start until today, and its successors after a transfer."""
        async with self._relationship_slots:
            try:
                await self.start_relationship(course)
                await self.submit_sessions(course)
            except RequestFailed as error:
                self.ledger.failed_requests.append(str(error))

    async def start_relationship(self, course: Course) -> None:
        system = self.credentials.machine(course.clinic_id)
        client = {"clinic_id": str(course.clinic_id), "case_code": course.case_code}
        await self.request("PUT", "intake", f"/clients/{course.client_id}", system, client)
        relationship = {
            "clinic_id": str(course.clinic_id),
            "clinician_id": str(course.clinician_id),
            "client_id": str(course.client_id),
            "started_at": course.started_at.isoformat(),
            "aims": course.aims,
            "cadence_days": course.cadence_days,
            "consent": True,
        }
        await self.request("PUT", "intake", f"/relationships/{course.id}", system, relationship)
        self.ledger.started_relationships[course.id] = course.clinic_id

    async def submit_sessions(self, course: Course) -> None:
        """Submit the sessions in the order in which they were entered, and the end of the relationship."""
        delayed_sessions: list[Session] = []
        for session in course.sessions:
            if session.is_entered_late:
                delayed_sessions.append(session)
                continue
            await self.submit_session(course, session)
            while delayed_sessions:
                await self.submit_session(course, delayed_sessions.pop())
        for session in delayed_sessions:
            await self.submit_session(course, session)
        if course.ending is not None:
            await self._submit_ending(course, *course.ending)

    async def _submit_ending(self, course: Course, ended_at: datetime, reason: EndReason) -> None:
        path, system = f"/relationships/{course.id}", self.credentials.machine(course.clinic_id)
        if course.successor is None:
            await self.request("POST", "intake", f"{path}/end", system, {"reason": reason, "at": ended_at.isoformat()})
            return
        successor = course.successor
        fields = {"clinician_id": str(successor.clinician_id), "relationship_id": str(successor.id)}
        await self.request("POST", "intake", f"{path}/transfer", system, {**fields, "at": ended_at.isoformat()})
        self.ledger.started_relationships[successor.id] = successor.clinic_id
        await self.submit_sessions(successor)

    async def submit_session(self, course: Course, session: Session) -> None:
        """Submit one session: the appointment, its outcome, and the answers."""
        path, system = f"/sessions/{session.id}", self.credentials.machine(course.clinic_id)
        appointment = {
            "relationship_id": str(course.id),
            "starts_at": session.starts_at.isoformat(),
            "minutes": session.minutes,
        }
        await self.request("PUT", "sessions", path, system, appointment)
        match session.outcome:
            case "missed":
                await self.request("POST", "sessions", f"{path}/missed", system, {})
                self.ledger.missed_sessions.setdefault(course.id, set()).add(session.id)
            case "cancelled":
                assert session.cancelled_at
                body = {"by": session.cancelled_by, "cancelled_at": session.cancelled_at.isoformat()}
                await self.request("POST", "sessions", f"{path}/cancellation", system, body)
                self.ledger.cancelled_sessions.setdefault(course.id, set()).add(session.id)
            case "held":
                await self._complete_session(course, session)

    async def _complete_session(self, course: Course, session: Session) -> None:
        path = f"/sessions/{session.id}/completion"
        body = {"ended_at": session.ended_at.isoformat(), "minutes": session.minutes}
        completion = (
            await self.request("POST", "sessions", path, self.credentials.machine(course.clinic_id), body)
        ).json()
        self.ledger.held_sessions.setdefault(course.id, set()).add(session.id)
        for rater, answer in self._answers_by_rater(session):
            if answer is None:
                if rater == "client":
                    due_at = session.ended_at + FEEDBACK_WINDOW
                    self.ledger.unanswered_until.setdefault(course.id, {})[session.id] = due_at
                    self.ledger.unanswered_clinics[session.id] = course.clinic_id
                continue
            if answer.given_at is not None:
                await self.submit_paper_answer(course.clinic_id, session.id, rater, answer)
            elif rater == "client":
                await self.answer_form(await self.client_form_url(course.clinic_id, session.id), answer)
            else:
                clinician = self.credentials.clinician(course.clinician_id)
                await self.answer_form(str(completion["clinician_form"]["url"]), answer, clinician)
            scores = self.ledger.scores.setdefault(course.id, {})
            scores[session.id, rater] = answer.final.score

    async def client_form_url(self, clinic_id: UUID, session: UUID) -> str:
        """The link to the client's form, which the clinic sends the client."""
        path, system = f"/sessions/{session}/client-link", self.credentials.machine(clinic_id)
        return str((await self.request("POST", "sessions", path, system, {})).json()["url"])

    @staticmethod
    def _answers_by_rater(session: Session) -> tuple[tuple[Rater, SimulatedAnswer | None], ...]:
        return ("client", session.client), ("clinician", session.clinician)

    async def submit_paper_answer(self, clinic_id: UUID, session: UUID, rater: Rater, answer: SimulatedAnswer) -> None:
        """Submit an answer that was given on paper, and its correction."""
        path, system = f"/sessions/{session}/feedback/{rater}", self.credentials.machine(clinic_id)
        try:
            await self.request("PUT", "sessions", path, system, _paper_answer_body(answer))
        except RequestFailed as error:
            # Submitted and corrected before: the simulation was stopped and submits the answer again.
            if answer.correction is None or "older-than-what-is-known" not in str(error):
                raise
        if answer.correction is not None:
            await self.request("PUT", "sessions", path, system, _paper_answer_body(answer.correction))

    async def read_inbox(self, clinician: UUID) -> list[Any]:
        """The alerts in the inbox of a clinician, who opens it. Raises RequestFailed."""
        auth = self.credentials.clinician(clinician)
        alerts: list[Any] = (await self.get("notify", f"/clinicians/{clinician}/inbox", auth))["alerts"]
        return alerts

    async def handle_next_alert(self, clinician: UUID) -> None:
        """Resolve the first acknowledged alert in the inbox; if there is none, acknowledge the first open one."""
        alerts = await self.read_inbox(clinician)
        first_by_status = {str(alert["status"]): alert for alert in reversed(alerts)}
        if (alert := first_by_status.get("acknowledged") or first_by_status.get("open")) is None:
            return
        resolution = ("resolution", {"useful": True})
        action, fields = resolution if alert["status"] == "acknowledged" else ("acknowledgement", {})
        path, body = f"/alerts/{alert['alert_id']}/{action}", {"id": str(uuid4()), "shown": alert["shown"], **fields}
        try:
            await self.request("POST", "notify", path, self.credentials.clinician(clinician), body)
        except RequestFailed as error:
            if "alert-changed" not in str(error):  # it has changed since it was read: next time
                raise

    async def answer_form(self, url: str, answer: SimulatedAnswer, auth: httpx2.Auth | None = None) -> None:
        """Open the form like a browser, and submit it. Clients need not sign in."""
        local_paths = (url.removeprefix(base) for base in self._urls["sessions"] if url.startswith(f"{base}/"))
        path = next(local_paths, url)  # behind a front door the link points at the front door
        await self._request_until_accepted("GET", "sessions", path, auth=auth)
        form: dict[str, str] = {name: str(rating) for name, rating in answer.ratings.items()}
        form |= {"tension": answer.tension or "", "talked_about": answer.talked_about or ""}
        await self._request_until_accepted("POST", "sessions", path, auth=auth, data=form)


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
