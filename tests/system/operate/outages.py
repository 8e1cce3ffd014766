"""The outages: how each is caused and removed, and which alert must fire."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

from tests.system.smoke import probes
from tests.system.support import poison
from tools.sandbox.network.clinic_systems import ClinicSystems
from tools.sandbox.network.course import ELEMENTS, Clinic, Course, SimulatedAnswer
from tools.sandbox.network.entries import credentials_for
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.network.receivers import ReceivedEmail, run_smtp_server
from tools.sandbox.servers.process import LocalServer
from tools.sandbox.servers.stack import RunningStack

POISON_NAMES = ("rating out of range", "not JSON")
"""Two poison messages of the smoke test with different causes, so that two values of the label `cause` appear."""


@dataclass(frozen=True)
class Outage:
    """An outage, and the alert that must fire."""

    description: str
    alert: str
    cause: Callable[[], None]
    restore: Callable[[], None]


class ClinicianSimulator:
    """Simulated people: clients give answers that raise alerts, and clinicians are notified by e-mail."""

    def __init__(self, attune: RunningStack, smtp_port: int) -> None:
        self._attune = attune
        self._credentials = credentials_for(attune)
        self._smtp_port = smtp_port
        self._mail_server = ExitStack()
        self.received_emails: list[ReceivedEmail] = []
        clinic = Clinic(uuid4(), "Elm Street", "Europe/Berlin")
        clinicians, courses = probes.create_probes(clinic, datetime.now(UTC))
        # Relationships with high ratings, so that a drop stands out.
        with_baseline = [course for course in courses if len(course.sessions) > 1]
        self._clinic = clinic
        self._clinicians = [
            replace(simulated_clinician, email=f"{simulated_clinician.name}@example.org")
            for simulated_clinician in clinicians
        ]
        self._prepared_courses = with_baseline[:24]
        self._unanswered_courses = list(self._prepared_courses)

    def prepare(self) -> None:
        """Submit everything up to the answers that must raise alerts."""
        self.start_mail_server()
        asyncio.run(self._prepare())

    async def _prepare(self) -> None:
        async with ClinicSystems(self._attune.process_urls, self._credentials, Ledger()) as clinic_systems:
            await clinic_systems.register_clinic(self._clinic)
            for clinician in self._clinicians:
                await clinic_systems.register_clinician(clinician, self._clinic.time_zone, "")
            await asyncio.gather(*(probes.submit_baseline(clinic_systems, course) for course in self._prepared_courses))

    def submit_answers(self, count: int) -> None:
        """Submit very low ratings and a tension for the next `count` relationships."""
        courses, self._unanswered_courses = self._unanswered_courses[:count], self._unanswered_courses[count:]
        asyncio.run(self._submit_answers(courses))

    async def _submit_answers(self, courses: list[Course]) -> None:
        async with ClinicSystems(self._attune.process_urls, self._credentials, Ledger()) as clinic_systems:
            answer = SimulatedAnswer(datetime.now(UTC), dict.fromkeys(ELEMENTS, 1), tension="yes", talked_about="not")
            await asyncio.gather(
                *(
                    clinic_systems.submit_paper_answer(course.clinic_id, course.sessions[-1].id, "client", answer)
                    for course in courses
                )
            )

    def handle_alerts(self) -> None:
        """Let clinicians acknowledge and resolve the alerts in their inboxes."""
        asyncio.run(self._handle_alerts())

    async def _handle_alerts(self) -> None:
        async with ClinicSystems(self._attune.process_urls, self._credentials, Ledger()) as clinic_systems:
            for clinician in 2 * self._clinicians:
                await clinic_systems.handle_next_alert(clinician.id)

    def stop_mail_server(self) -> None:
        self._mail_server.close()

    def start_mail_server(self) -> None:
        self._mail_server.enter_context(run_smtp_server(self._smtp_port, self.received_emails))

    def __enter__(self) -> "ClinicianSimulator":
        return self

    def __exit__(self, *_: object) -> None:
        self._mail_server.close()


def create_outages(attune: RunningStack, clinicians: ClinicianSimulator) -> list[Outage]:
    """All outages, in the order in which they are caused."""
    alliance = _service(attune, "alliance")
    mongodb = next(server for server in attune.servers if server.name == "MongoDB")
    kafka = next(server for server in attune.servers if server.name == "Kafka")

    def pause_consumer() -> None:
        _send_signal(alliance, signal.SIGSTOP)
        clinicians.submit_answers(4)

    def stop_mail() -> None:
        clinicians.stop_mail_server()
        clinicians.submit_answers(4)

    return [
        Outage(
            "undecodable messages",
            "DeadLetters",
            lambda: _publish_poison(attune),
            lambda: _discard_dead_letters(attune),
        ),
        Outage("the mail server is down", "DeliveriesFailing", stop_mail, clinicians.start_mail_server),
        Outage(
            "a consumer is paused", "ConsumerStopped", pause_consumer, lambda: _send_signal(alliance, signal.SIGCONT)
        ),
        Outage("MongoDB is down", "MongoUnreachable", mongodb.kill, mongodb.start),
        Outage("Kafka is down", "KafkaUnreachable", kafka.kill, kafka.start),
        Outage("a service is down", "ServiceDown", _service(attune, "intake").kill, _service(attune, "intake").start),
    ]


def _service(attune: RunningStack, name: str) -> LocalServer:
    return next(service for service in attune.services if service.name == name)


def _send_signal(service: LocalServer, signal_to_send: signal.Signals) -> None:
    assert service.process
    os.kill(service.process.pid, signal_to_send)


def _publish_poison(attune: RunningStack) -> None:
    messages = [message for message in poison.create_poison_messages(datetime.now(UTC)) if message.name in POISON_NAMES]
    asyncio.run(poison.publish_poison(attune.bootstrap_servers, messages))


def _discard_dead_letters(attune: RunningStack) -> None:
    """Discard all dead letters, as the runbook says."""
    for service in ("alliance", "sessions", "notify"):
        command = [*_service(attune, service).command, "dead-letters", "discard", "--all"]
        subprocess.run(command, check=True, capture_output=True)
