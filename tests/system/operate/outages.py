"""What is broken, how it is mended, and which alert must say so."""

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
from tools.sandbox.network.clinic_systems import Clinics
from tools.sandbox.network.course import ELEMENTS, Clinic, Course, Said
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.network.receivers import Mail, mail_server
from tools.sandbox.servers.process import LocalServer
from tools.sandbox.servers.stack import Stack

UNREADABLE = ("rating out of range", "not JSON")
"""Of the smoke test's poisons: one of two causes, so that a person sees which is whose."""


@dataclass(frozen=True)
class Breakage:
    """Something that goes wrong, and the alert that says so."""

    what: str
    alert: str
    do: Callable[[], None]
    mend: Callable[[], None]


class Clinicians:
    """People at work: they give answers that must raise alerts, and are told of them by e-mail."""

    def __init__(self, attune: Stack, smtp_port: int) -> None:
        self._attune = attune
        self._mail_port = smtp_port
        self._mail = ExitStack()
        self.mails: list[Mail] = []
        clinic = Clinic(uuid4(), "Elm Street", "Europe/Berlin")
        clinicians, courses = probes.probes(clinic, datetime.now(UTC))
        with_baseline = [course for course in courses if len(course.sessions) > 1]  # so well that a fall stands out
        self._clinic = clinic
        self._clinicians = [
            replace(simulated_clinician, email=f"{simulated_clinician.name}@example.org")
            for simulated_clinician in clinicians
        ]
        self._prepared = with_baseline[:24]
        self._waiting = list(self._prepared)

    def begin(self) -> None:
        """Everything up to the answers that must be noticed."""
        self.mail_comes_back()
        asyncio.run(self._begin())

    async def _begin(self) -> None:
        async with Clinics(self._attune.processes, Ledger()) as clinic_systems:
            await clinic_systems.open_clinic(self._clinic)
            for clinician in self._clinicians:
                await clinic_systems.employ(clinician, self._clinic.time_zone, "")
            await asyncio.gather(*(probes.prepare(clinic_systems, course) for course in self._prepared))

    def give_answers(self, count: int) -> None:
        """So many clients, of whom nobody would have thought it, say that all is wrong."""
        courses, self._waiting = self._waiting[:count], self._waiting[count:]
        asyncio.run(self._give(courses))

    async def _give(self, courses: list[Course]) -> None:
        async with Clinics(self._attune.processes, Ledger()) as clinic_systems:
            answer = Said(datetime.now(UTC), dict.fromkeys(ELEMENTS, 1), tension="yes", talked_about="not")
            await asyncio.gather(
                *(clinic_systems.answer(course.sessions[-1].id, "client", answer) for course in courses)
            )

    def react(self) -> None:
        """Clinicians take on what stands in their inboxes, and are done with it."""
        asyncio.run(self._react())

    async def _react(self) -> None:
        async with Clinics(self._attune.processes, Ledger()) as clinic_systems:
            for clinician in 2 * self._clinicians:
                await clinic_systems.react(clinician.id)

    def mail_goes_away(self) -> None:
        self._mail.close()

    def mail_comes_back(self) -> None:
        self._mail.enter_context(mail_server(self._mail_port, self.mails))

    def __enter__(self) -> "Clinicians":
        return self

    def __exit__(self, *_: object) -> None:
        self._mail.close()


def breakages(attune: Stack, clinicians: Clinicians) -> list[Breakage]:
    """All of them, in the order in which they are seen."""
    alliance = _of(attune, "alliance")
    mongodb = next(server for server in attune.servers if server.name == "MongoDB")
    kafka = next(server for server in attune.servers if server.name == "Kafka")

    def consumer_stops() -> None:
        _signal(alliance, signal.SIGSTOP)
        clinicians.give_answers(4)

    def mail_goes() -> None:
        clinicians.mail_goes_away()
        clinicians.give_answers(4)

    return [
        Breakage("messages that nobody can read", "DeadLetters", lambda: _poison(attune), lambda: _close(attune)),
        Breakage("the mail server is down", "DeliveriesFail", mail_goes, clinicians.mail_comes_back),
        Breakage(
            "a consumer stands still", "ConsumerStopped", consumer_stops, lambda: _signal(alliance, signal.SIGCONT)
        ),
        Breakage("MongoDB is down", "MongoUnreachable", mongodb.kill, mongodb.start),
        Breakage("Kafka is down", "KafkaUnreachable", kafka.kill, kafka.start),
        Breakage("a service is down", "ServiceDown", _of(attune, "intake").kill, _of(attune, "intake").start),
    ]


def _of(attune: Stack, name: str) -> LocalServer:
    return next(service for service in attune.services if service.name == name)


def _signal(service: LocalServer, signal_to_send: signal.Signals) -> None:
    assert service.process
    os.kill(service.process.pid, signal_to_send)


def _poison(attune: Stack) -> None:
    messages = [message for message in poison.poisons(datetime.now(UTC)) if message.name in UNREADABLE]
    asyncio.run(poison.plant(attune.kafka, messages))


def _close(attune: Stack) -> None:
    """As its runbook says: nobody wants these."""
    for service in ("alliance", "sessions", "notify"):
        command = [*_of(attune, service).command, "dead-letters", "close", "--all"]
        subprocess.run(command, check=True, capture_output=True)
