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
        self,
        attune: Stack,
        seed: int,
        checks: Checks,
        mails: Sequence[Mail],
        hooks: Sequence[Hook],
        webhook_base_url: str,
    ) -> None:
        self._attune = attune
        self._checks = checks
        self._mails = mails
        self._hooks = hooks
        self._webhooks = webhook_base_url
        self.ledger = Ledger()
        self._since = datetime.now(UTC)
        self._world = World(seed, self._since, NETWORK)
        self._probing, self._probes = probes.probes(self._world.clinics[0], self._since)

    async def whole(self) -> None:
        """All of it."""
        async with (
            Clinics(self._attune.processes, self.ledger) as clinic_systems,
            Topics(self._attune.kafka) as kafka_inspector,
        ):
            if any((await kafka_inspector.ends()).values()):
                raise CannotRun("The smoke test needs a Kafka of its own; this one holds messages already.")
            await self._tell(clinic_systems, kafka_inspector)
            await self._misuse(clinic_systems)
            await self._measure(clinic_systems)
            self._checks.holds(
                "everything comes to rest, no consumer behind", await self._rest(clinic_systems, kafka_inspector)
            )
            await self._judge(clinic_systems, kafka_inspector)

    @property
    def clinicians(self) -> list[Clinician]:
        return [*self._world.clinicians, *self._probing]

    @property
    def _courses(self) -> list[Course]:
        return [course for first in self._world.courses for course in first.with_successors()]

    async def _tell(self, clinics: Clinics, kafka_inspector: Topics) -> None:
        """The months of the network; poison comes in between."""
        started_at = time.monotonic()
        zones = {clinic.id: clinic.time_zone for clinic in self._world.clinics}
        for clinic in self._world.clinics:
            await clinics.open_clinic(clinic)
        async with asyncio.TaskGroup() as task_group:
            for clinician in self.clinicians:
                task_group.create_task(clinics.employ(clinician, zones[clinician.clinic_id], self._webhooks))
        self._planted = poison.poisons(self._since)
        async with asyncio.TaskGroup() as task_group:
            for course in self._world.courses:
                task_group.create_task(clinics.live_through(course))
            for course in self._probes:
                task_group.create_task(probes.prepare(clinics, course))
            task_group.create_task(poison.plant(self._attune.kafka, self._planted))
        elapsed_seconds = time.monotonic() - started_at
        ledger = self.ledger
        print(
            f"told of {len(ledger.started)} relationships, {ledger.sessions} sessions, {ledger.answers} answers "
            f"in {elapsed_seconds:.0f} s ({ledger.sent['done'] / elapsed_seconds:.0f} requests/s, {ledger.sent['tried again']} tried again)"
        )
        is_idle = await still(kafka_inspector, (), WITHIN)
        consumed_events = metric((await clinics.ask("GET", "alliance", "/metrics")).text, "attune_messages_total")
        rate = f"{consumed_events:.0f} events, {consumed_events / elapsed_seconds:.0f} a second"
        print(f"alliance took {rate}{'' if is_idle else ', and is behind'}")
        self._checks.none("every request that is right is taken", ledger.refused, f"{ledger.sent['done']} requests")

    async def _misuse(self, clinics: Clinics) -> None:
        requests = invalid_requests.wrongs(await invalid_requests.prepare(clinics, self._courses, datetime.now(UTC)))
        differences = await invalid_requests.answered_otherwise(clinics, requests)
        self._checks.none("wrong requests are refused, with the reason", differences, f"{len(requests)} requests")

    async def _measure(self, clinics: Clinics) -> None:
        latencies, missing = await probes.measure(clinics, self._probes, datetime.now(UTC))
        figures = (
            f"median {1000 * median(latencies):.0f} ms, p99 {1000 * quantiles(latencies, n=100)[98]:.0f} ms"
            if latencies
            else ""
        )
        self._checks.none("what is told now shows in the inbox", missing, f"{len(latencies)} answers: {figures}")

    async def _rest(self, clinics: Clinics, kafka_inspector: Topics) -> bool:
        """Silence is told some seconds after its session was entered; then nothing moves any more."""
        due_count = sum(
            due_at < self._since for due_times in self.ledger.silent.values() for due_at in due_times.values()
        )

        async def silence_is_told() -> bool:
            return await checker.unanswered(clinics, self._world.clinics) >= due_count

        await until(silence_is_told, WITHIN)  # if it is not, the judge will say about whom
        return await still(kafka_inspector, (self._mails, self._hooks), WITHIN)

    async def _judge(self, clinics: Clinics, kafka_inspector: Topics) -> None:
        checks, ledger = self._checks, self.ledger
        differences = await checker.not_in_a_score(clinics, ledger, self._since, datetime.now(UTC))
        checks.none(
            "every session and every answer is in a score",
            differences,
            f"{ledger.sessions} sessions, {ledger.answers} answers, {len(ledger.started)} relationships",
        )
        alerts = await checker.inboxes(clinics, [clinician.id for clinician in self.clinicians])
        severe, faint = checker.planted(self._courses)
        detected_count = len(faint) - len(checker.without_alert(faint, alerts))
        checks.none(
            "every severe rupture has an alert in the right inbox",
            checker.without_alert(severe, alerts),
            f"{len(severe)} severe; of {len(faint)} fainter ones {detected_count}; {len(alerts)} alerts",
        )
        checks.none("no alert is in a wrong inbox", checker.in_a_wrong_inbox(alerts, [*self._courses, *self._probes]))
        checks.none("no relationship has two open alerts", checker.open_twice(alerts))
        for consumer in HEARD_BY:
            dead_letter_records = await kafka_inspector.records(dead_letters(consumer))
            differences = checker.dead_letters_amiss(consumer, self._planted, dead_letter_records)
            checks.none(
                f"the dead letters of {consumer} are those planted", differences, f"{len(dead_letter_records)} letters"
            )
        self._judge_messages(alerts)

    def _judge_messages(self, alerts: list[checker.Alert]) -> None:
        checks, clinicians = self._checks, {clinician.id: clinician for clinician in self.clinicians}
        received = messages.received(self._mails, self._hooks, alerts)
        checks.none(
            "clinicians were sent what they were owed, once, and nothing of old",
            messages.amiss(received, alerts, clinicians, datetime.now(UTC)),
            f"{len(self._mails)} e-mails, {len(self._hooks)} webhooks",
        )
        misdelivered = messages.to_the_wrong_one(self._mails, self._hooks, alerts, clinicians)
        checks.none("every message reached its clinician, and webhooks are signed", misdelivered)
        case_codes = {course.case_code for course in (*self._courses, *self._probes)}
        identifying = messages.telling(self._mails, self._hooks, case_codes)
        checks.none("no message says about whom it is", identifying, f"{len(case_codes)} case codes looked for")
