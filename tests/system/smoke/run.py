"""The run that is judged: a network's months told within a minute, bad input among them."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median, quantiles

from shared.events.topics import dead_letters
from tests.system.smoke import checker, invalid_requests, probes
from tests.system.support import messages, poison
from tests.system.support.checks import Checks
from tools.sandbox.network.clinic_systems import Clinics
from tools.sandbox.network.course import Clinician, Course
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.network.parameters import Parameters
from tools.sandbox.network.receivers import Hook, Mail
from tools.sandbox.network.world import World
from tools.sandbox.servers.inspection import metric, still, until
from tools.sandbox.servers.kafka_inspector import HEARD_BY, Topics
from tools.sandbox.servers.process import CannotRun
from tools.sandbox.servers.stack import Stack

NETWORK = Parameters(
    clinics=2,
    clinicians=4,
    relationships=65,
    started_weeks_ago=(8, 26),
    sessions_median=20,
    ruptured=0.85,  # far more than in life, and later, so that there is something to find
    onset=7,
    deep=0.9,
    unanswered=0.1,
)
WITHIN = 60.0  # seconds; what has not come by then does not come


class Run:
    """Tell, misuse, wait, measure, judge."""

    def __init__(
        self, attune: Stack, seed: int, checks: Checks, mails: Sequence[Mail], hooks: Sequence[Hook], webhooks: str
    ) -> None:
        self._attune = attune
        self._checks = checks
        self._mails = mails
        self._hooks = hooks
        self._webhooks = webhooks
        self.ledger = Ledger()
        self._since = datetime.now(UTC)
        self._world = World(seed, self._since, NETWORK)
        self._probing, self._probes = probes.probes(self._world.clinics[0], self._since)

    async def whole(self) -> None:
        """All of it."""
        async with Clinics(self._attune.processes, self.ledger) as clinics, Topics(self._attune.kafka) as topics:
            if any((await topics.ends()).values()):
                raise CannotRun("The smoke test needs a Kafka of its own; this one holds messages already.")
            await self._tell(clinics, topics)
            await self._misuse(clinics)
            await self._measure(clinics)
            self._checks.holds("everything comes to rest, no consumer behind", await self._rest(clinics, topics))
            await self._judge(clinics, topics)

    @property
    def clinicians(self) -> list[Clinician]:
        return [*self._world.clinicians, *self._probing]

    @property
    def _courses(self) -> list[Course]:
        return [course for first in self._world.courses for course in first.with_successors()]

    async def _tell(self, clinics: Clinics, topics: Topics) -> None:
        """The months of the network; poison comes in between."""
        begun = time.monotonic()
        zones = {clinic.id: clinic.time_zone for clinic in self._world.clinics}
        for clinic in self._world.clinics:
            await clinics.open_clinic(clinic)
        async with asyncio.TaskGroup() as all_of_them:
            for clinician in self.clinicians:
                all_of_them.create_task(clinics.employ(clinician, zones[clinician.clinic_id], self._webhooks))
        self._planted = poison.poisons(self._since)
        async with asyncio.TaskGroup() as all_of_them:
            for course in self._world.courses:
                all_of_them.create_task(clinics.live_through(course))
            for course in self._probes:
                all_of_them.create_task(probes.prepare(clinics, course))
            all_of_them.create_task(poison.plant(self._attune.kafka, self._planted))
        told = time.monotonic() - begun
        ledger = self.ledger
        print(
            f"told of {len(ledger.started)} relationships, {ledger.sessions} sessions, {ledger.answers} answers "
            f"in {told:.0f} s ({ledger.sent['done'] / told:.0f} requests/s, {ledger.sent['tried again']} tried again)"
        )
        came_to_rest = await still(topics, (), WITHIN)
        taken = metric((await clinics.ask("GET", "alliance", "/metrics")).text, "attune_messages_total")
        rate = f"{taken:.0f} events, {taken / told:.0f} a second"
        print(f"alliance took {rate}{'' if came_to_rest else ', and is behind'}")
        self._checks.none("every request that is right is taken", ledger.refused, f"{ledger.sent['done']} requests")

    async def _misuse(self, clinics: Clinics) -> None:
        wrongs = invalid_requests.wrongs(await invalid_requests.prepare(clinics, self._courses, datetime.now(UTC)))
        amiss = await invalid_requests.answered_otherwise(clinics, wrongs)
        self._checks.none("wrong requests are refused, with the reason", amiss, f"{len(wrongs)} requests")

    async def _measure(self, clinics: Clinics) -> None:
        took, lost = await probes.measure(clinics, self._probes, datetime.now(UTC))
        figures = f"median {1000 * median(took):.0f} ms, p99 {1000 * quantiles(took, n=100)[98]:.0f} ms" if took else ""
        self._checks.none("what is told now shows in the inbox", lost, f"{len(took)} answers: {figures}")

    async def _rest(self, clinics: Clinics, topics: Topics) -> bool:
        """Silence is told some seconds after its session was entered; then nothing moves any more."""
        due = sum(at < self._since for silent in self.ledger.silent.values() for at in silent.values())

        async def silence_is_told() -> bool:
            return await checker.unanswered(clinics, self._world.clinics) >= due

        await until(silence_is_told, WITHIN)  # if it is not, the judge will say about whom
        return await still(topics, (self._mails, self._hooks), WITHIN)

    async def _judge(self, clinics: Clinics, topics: Topics) -> None:
        checks, ledger = self._checks, self.ledger
        amiss = await checker.not_in_a_score(clinics, ledger, self._since, datetime.now(UTC))
        checks.none(
            "every session and every answer is in a score",
            amiss,
            f"{ledger.sessions} sessions, {ledger.answers} answers, {len(ledger.started)} relationships",
        )
        alerts = await checker.inboxes(clinics, [clinician.id for clinician in self.clinicians])
        severe, fainter = checker.planted(self._courses)
        seen = len(fainter) - len(checker.without_alert(fainter, alerts))
        checks.none(
            "every severe rupture has an alert in the right inbox",
            checker.without_alert(severe, alerts),
            f"{len(severe)} severe; of {len(fainter)} fainter ones {seen}; {len(alerts)} alerts",
        )
        checks.none("no alert is in a wrong inbox", checker.in_a_wrong_inbox(alerts, [*self._courses, *self._probes]))
        checks.none("no relationship has two open alerts", checker.open_twice(alerts))
        for consumer in HEARD_BY:
            letters = await topics.records(dead_letters(consumer))
            amiss = checker.dead_letters_amiss(consumer, self._planted, letters)
            checks.none(f"the dead letters of {consumer} are those planted", amiss, f"{len(letters)} letters")
        self._judge_messages(alerts)

    def _judge_messages(self, alerts: list[checker.Alert]) -> None:
        checks, clinicians = self._checks, {clinician.id: clinician for clinician in self.clinicians}
        came = messages.received(self._mails, self._hooks, alerts)
        checks.none(
            "clinicians were sent what they were owed, once, and nothing of old",
            messages.amiss(came, alerts, clinicians, datetime.now(UTC)),
            f"{len(self._mails)} e-mails, {len(self._hooks)} webhooks",
        )
        wrong = messages.to_the_wrong_one(self._mails, self._hooks, alerts, clinicians)
        checks.none("every message reached its clinician, and webhooks are signed", wrong)
        secrets = {course.case_code for course in (*self._courses, *self._probes)}
        telling = messages.telling(self._mails, self._hooks, secrets)
        checks.none("no message says about whom it is", telling, f"{len(secrets)} case codes looked for")
