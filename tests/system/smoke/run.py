"""The run: submit months of a simulated network within a minute, with invalid input, and check the result."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median, quantiles

from shared.events.topics import CONSUMED_TOPICS, dead_letter_topic
from tests.system.smoke import checker, invalid_requests, probes
from tests.system.support import messages, poison
from tests.system.support.checks import Checks
from tools.sandbox.network.clinic_systems import ClinicSystems
from tools.sandbox.network.course import Clinician, Course
from tools.sandbox.network.entries import credentials_for
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.network.parameters import Parameters
from tools.sandbox.network.receivers import ReceivedEmail, ReceivedWebhook
from tools.sandbox.network.world import World
from tools.sandbox.servers.inspection import fetch_metric, wait_until, wait_until_idle
from tools.sandbox.servers.kafka_inspector import KafkaInspector
from tools.sandbox.servers.process import RunError
from tools.sandbox.servers.stack import RunningStack

NETWORK = Parameters(
    clinics=2,
    clinicians_per_clinic=4,
    relationships=65,
    started_weeks_ago=(8, 26),
    median_sessions=20,
    rupture_probability=0.85,  # far more and later than in reality, so that there is something to detect
    min_sessions_before_rupture=7,
    deep_rupture_share=0.9,
    unanswered_share=0.1,
)
IDLE_TIMEOUT_SECONDS = 60.0


class SmokeRun:
    """One smoke test against a running stack."""

    def __init__(
        self,
        attune: RunningStack,
        seed: int,
        checks: Checks,
        received_emails: Sequence[ReceivedEmail],
        received_webhooks: Sequence[ReceivedWebhook],
        webhook_base_url: str,
    ) -> None:
        self._attune = attune
        self._checks = checks
        self._received_emails = received_emails
        self._received_webhooks = received_webhooks
        self._webhook_base_url = webhook_base_url
        self.credentials = credentials_for(attune)
        self.ledger = Ledger()
        self._started_at = datetime.now(UTC)
        self._world = World(seed, self._started_at, NETWORK)
        self._probe_clinicians, self._probe_courses = probes.create_probes(self._world.clinics[0], self._started_at)

    async def execute(self) -> None:
        """Run the whole test. Raises RunError if Kafka already has messages."""
        async with (
            ClinicSystems(self._attune.process_urls, self.credentials, self.ledger) as clinic_systems,
            KafkaInspector(self._attune.bootstrap_servers) as kafka_inspector,
        ):
            if any((await kafka_inspector.end_offsets()).values()):
                raise RunError("The smoke test needs an empty Kafka; this one already has messages.")
            await self._submit_history(clinic_systems, kafka_inspector)
            await self._send_invalid_requests(clinic_systems)
            await self._measure_latency(clinic_systems)
            self._checks.expect(
                "the system becomes idle, with no lag",
                await self._wait_until_idle(clinic_systems, kafka_inspector),
            )
            await self._check(clinic_systems, kafka_inspector)

    @property
    def clinicians(self) -> list[Clinician]:
        return [*self._world.clinicians, *self._probe_clinicians]

    @property
    def _all_courses(self) -> list[Course]:
        return [course for first in self._world.courses for course in first.with_successors()]

    async def _submit_history(self, clinic_systems: ClinicSystems, kafka_inspector: KafkaInspector) -> None:
        """Submit the history of the network, with poison messages in between."""
        started_at = time.monotonic()
        zones = {clinic.id: clinic.time_zone for clinic in self._world.clinics}
        for clinic in self._world.clinics:
            await clinic_systems.register_clinic(clinic)
        async with asyncio.TaskGroup() as task_group:
            for clinician in self.clinicians:
                task_group.create_task(
                    clinic_systems.register_clinician(clinician, zones[clinician.clinic_id], self._webhook_base_url)
                )
        self._poison_messages = poison.create_poison_messages(self._started_at)
        async with asyncio.TaskGroup() as task_group:
            for course in self._world.courses:
                task_group.create_task(clinic_systems.submit_course(course))
            for course in self._probe_courses:
                task_group.create_task(probes.submit_baseline(clinic_systems, course))
            task_group.create_task(poison.publish_poison(self._attune.bootstrap_servers, self._poison_messages))
        elapsed_seconds = time.monotonic() - started_at
        ledger, accepted = self.ledger, self.ledger.request_counts["accepted"]
        print(
            f"submitted {len(ledger.started_relationships)} relationships, {ledger.session_count} sessions, "
            f"{ledger.answer_count} answers in {elapsed_seconds:.0f} s "
            f"({accepted / elapsed_seconds:.0f} requests/s, {ledger.request_counts['retried']} retried)"
        )
        is_idle = await wait_until_idle(kafka_inspector, (), IDLE_TIMEOUT_SECONDS)
        consumed_events = await fetch_metric(self._attune.ops_urls["alliance"], "attune_messages_total")
        rate = f"{consumed_events:.0f} events, {consumed_events / elapsed_seconds:.0f} per second"
        print(f"alliance consumed {rate}{'' if is_idle else ', and still has lag'}")
        self._checks.expect_none("every valid request is accepted", ledger.failed_requests, f"{accepted} requests")

    async def _send_invalid_requests(self, clinic_systems: ClinicSystems) -> None:
        existing = await invalid_requests.prepare_data(clinic_systems, self._all_courses, datetime.now(UTC))
        requests = invalid_requests.invalid_requests(existing)
        differences = await invalid_requests.unexpected_responses(clinic_systems, existing, requests)
        self._checks.expect_none(
            "invalid requests are rejected with the reason", differences, f"{len(requests)} requests"
        )

    async def _measure_latency(self, clinic_systems: ClinicSystems) -> None:
        latencies, missing = await probes.measure_latency(clinic_systems, self._probe_courses, datetime.now(UTC))
        figures = (
            f"median {1000 * median(latencies):.0f} ms, p99 {1000 * quantiles(latencies, n=100)[98]:.0f} ms"
            if latencies
            else ""
        )
        self._checks.expect_none(
            "every new alert appears in the inbox", missing, f"{len(latencies)} answers: {figures}"
        )

    async def _wait_until_idle(self, clinic_systems: ClinicSystems, kafka_inspector: KafkaInspector) -> bool:
        """Wait for the lapses, which follow some seconds after their sessions were entered, then for an idle system."""
        due_count = sum(
            due_at < self._started_at
            for due_times in self.ledger.unanswered_until.values()
            for due_at in due_times.values()
        )

        async def are_lapses_counted() -> bool:
            return await checker.count_unanswered(clinic_systems, self._world.clinics) >= due_count

        await wait_until(are_lapses_counted, IDLE_TIMEOUT_SECONDS)  # if they are not, the checks name the relationships
        return await wait_until_idle(
            kafka_inspector, (self._received_emails, self._received_webhooks), IDLE_TIMEOUT_SECONDS
        )

    async def _check(self, clinic_systems: ClinicSystems, kafka_inspector: KafkaInspector) -> None:
        checks, ledger = self._checks, self.ledger
        differences = await checker.score_differences(clinic_systems, ledger, self._started_at, datetime.now(UTC))
        checks.expect_none(
            "every session and every answer is reflected in a score",
            differences,
            f"{ledger.session_count} sessions, {ledger.answer_count} answers, "
            f"{len(ledger.started_relationships)} relationships",
        )
        alerts = await checker.read_inbox_alerts(clinic_systems, [clinician.id for clinician in self.clinicians])
        severe, faint = checker.split_by_severity(self._all_courses)
        detected_count = len(faint) - len(checker.missing_alerts(faint, alerts))
        checks.expect_none(
            "every severe rupture has an alert in the right inbox",
            checker.missing_alerts(severe, alerts),
            f"{len(severe)} severe; {detected_count} of {len(faint)} fainter ones detected; {len(alerts)} alerts",
        )
        checks.expect_none(
            "no alert is in the wrong inbox",
            checker.misrouted_alerts(alerts, [*self._all_courses, *self._probe_courses]),
        )
        checks.expect_none("no relationship has two open alerts", checker.multiple_open_alerts(alerts))
        for consumer in CONSUMED_TOPICS:
            dead_letter_records = await kafka_inspector.read_records(dead_letter_topic(consumer))
            differences = checker.dead_letter_differences(consumer, self._poison_messages, dead_letter_records)
            checks.expect_none(
                f"the dead letters of {consumer} are exactly the poison messages",
                differences,
                f"{len(dead_letter_records)} dead letters",
            )
        self._check_messages(alerts)

    def _check_messages(self, alerts: list[checker.InboxAlert]) -> None:
        checks, clinicians = self._checks, {clinician.id: clinician for clinician in self.clinicians}
        received = messages.parse_messages(self._received_emails, self._received_webhooks, alerts)
        checks.expect_none(
            "every required message is sent exactly once, and none about old signs",
            messages.message_differences(received, alerts, clinicians, datetime.now(UTC)),
            f"{len(self._received_emails)} e-mails, {len(self._received_webhooks)} webhooks",
        )
        misdelivered = messages.misdelivered_messages(
            self._received_emails, self._received_webhooks, alerts, clinicians
        )
        checks.expect_none("every message reached its clinician and every webhook is signed", misdelivered)
        case_codes = {course.case_code for course in (*self._all_courses, *self._probe_courses)}
        identifying = messages.identifying_messages(self._received_emails, self._received_webhooks, case_codes)
        checks.expect_none("no message identifies a client", identifying, f"{len(case_codes)} case codes")
