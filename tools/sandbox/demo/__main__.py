"""`python -m tools.sandbox.demo`: run the whole system with a simulated clinic network until Ctrl-C."""

import asyncio
import os
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Never

from aiokafka.errors import KafkaError
from rich.console import Console
from rich.live import Live

from tools.sandbox.demo import display, start_page
from tools.sandbox.demo.display import PageAddresses
from tools.sandbox.demo.figures import Figures
from tools.sandbox.demo.state import DemoState
from tools.sandbox.network.clinic_systems import ClinicSystems
from tools.sandbox.network.course import Course
from tools.sandbox.network.entries import credentials_for
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.network.parameters import Parameters
from tools.sandbox.network.receivers import (
    ReceivedEmail,
    ReceivedWebhook,
    receiver_settings,
    run_smtp_server,
    run_webhook_server,
)
from tools.sandbox.network.retrying_client import RequestFailed
from tools.sandbox.network.sign_in import SignInFailed
from tools.sandbox.network.world import World
from tools.sandbox.preflight import (
    OPS_PORT_OFFSET,
    OTHER_PORTS_HINT,
    SWITCHES,
    demo_ports,
    front_door_port,
    issuer_port,
    parse_first_port,
    parse_switch,
    service_ports,
)
from tools.sandbox.servers.front_door import find_lan_address
from tools.sandbox.servers.kafka import FAST_START
from tools.sandbox.servers.kafka_inspector import KafkaInspector
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import PROJECT_ROOT, RunError
from tools.sandbox.servers.signals import interrupt_on_sigterm
from tools.sandbox.servers.stack import SERVICES, Entrance, RunningStack, run_stack

DATA_FOLDER = PROJECT_ROOT / ".attune" / "demo"
SEED = 2026  # fixed, so that everybody sees the same network
SESSION_INTERVAL_SECONDS = 0.4  # between two sessions, once the history is submitted
REFRESH_INTERVAL_SECONDS, LINE_INTERVAL_SECONDS, DRAW_INTERVAL_SECONDS = 4.0, 5.0, 0.5
SESSIONS_PER_REACTION = 10  # after so many sessions a clinician handles an alert

console = Console(highlight=False)


def main() -> None:
    interrupt_on_sigterm()
    try:
        run_demo(parse_first_port(os.environ))
    except RunError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        console.print("Stopped. `make demo` continues from here; `make clean` deletes the data.")


def run_demo(first_port: int) -> None:
    """Start everything, run until Ctrl-C, and stop everything. Raises RunError."""
    ports = dict(zip(SERVICES, service_ports(first_port), strict=True))
    ops_ports = dict(zip(SERVICES, service_ports(first_port + OPS_PORT_OFFSET), strict=True))
    smtp_port, webhook_port = free_ports(2)
    received_emails, received_webhooks = list[ReceivedEmail](), list[ReceivedWebhook]()
    DATA_FOLDER.mkdir(parents=True, exist_ok=True)
    with ExitStack() as exit_stack:
        exit_stack.enter_context(run_smtp_server(smtp_port, received_emails))
        exit_stack.enter_context(run_webhook_server(webhook_port, received_webhooks))
        settings = {**receiver_settings(smtp_port), "API_DOCS": "true"}
        try:
            attune = exit_stack.enter_context(
                run_stack(
                    DATA_FOLDER,
                    ports,
                    settings,
                    java_options=FAST_START,
                    ops_ports=ops_ports,
                    entrance=find_entrance(first_port),
                    report=console.print,
                )
            )
        except RunError as error:
            if any(str(port) in str(error) for port in demo_ports(first_port)):
                raise RunError(f"{error}\n{OTHER_PORTS_HINT}") from None
            raise
        console.print(f"All services are running after {attune.startup_seconds:.0f} s.")
        webhook_base_url = f"http://127.0.0.1:{webhook_port}"
        asyncio.run(Demo(attune, received_emails, received_webhooks, webhook_base_url, open_pages(attune)).run())


def find_entrance(first_port: int) -> Entrance:
    """How browsers reach the demo, as the environment says. Raises RunError."""
    has_tls, has_lan = (parse_switch(os.environ, name) for name in SWITCHES)
    lan_address = find_lan_address() if has_lan else None
    return Entrance(front_door_port(first_port), issuer_port(first_port), has_tls, lan_address)


def open_pages(attune: RunningStack) -> PageAddresses:
    """Where the pages are. The simulated people trust the certificate of the front door."""
    front_door = attune.front_door
    assert front_door is not None
    if front_door.certificate:
        os.environ["SSL_CERT_FILE"] = str(front_door.certificate.file)
    return PageAddresses(front_door.url, front_door.lan_url)


class Demo:
    """Simulates the clinic network: submits its history as fast as possible, then one session after the other."""

    def __init__(
        self,
        attune: RunningStack,
        received_emails: list[ReceivedEmail],
        received_webhooks: list[ReceivedWebhook],
        webhook_base_url: str,
        pages: PageAddresses,
    ) -> None:
        self._attune = attune
        self._credentials = credentials_for(attune)
        self._received_emails = received_emails
        self._received_webhooks = received_webhooks
        self._webhook_base_url = webhook_base_url
        self._pages = pages
        self._state_file = DATA_FOLDER / "world.json"
        self._state = DemoState.load_or_create(self._state_file, SEED, datetime.now(UTC))
        self._world = World(self._state.seed, self._state.until, Parameters())
        self._ledger = Ledger()
        self._figures = Figures()
        self._are_people_in = asyncio.Event()
        """Whether everybody can send requests."""

    async def run(self) -> None:
        """Run until cancelled. Raises RunError if a service or Kafka fails."""
        try:
            async with (
                ClinicSystems(self._attune.process_urls, self._credentials, self._ledger) as clinic_systems,
                ClinicSystems(self._attune.process_urls, self._credentials, Ledger()) as observer,
                KafkaInspector(self._attune.bootstrap_servers) as kafka_inspector,
                asyncio.TaskGroup() as task_group,
            ):
                task_group.create_task(self._refresh_figures(observer, kafka_inspector))
                task_group.create_task(self._display())
                task_group.create_task(self._simulate(clinic_systems))
        except* (RequestFailed, SignInFailed, KafkaError) as errors:
            raise RunError(f"A service failed: {errors.exceptions[0]}\nLogs: {DATA_FOLDER}/*/log") from errors
        finally:
            self._state.save(self._state_file)

    async def _simulate(self, clinic_systems: ClinicSystems) -> Never:
        zones = {clinic.id: clinic.time_zone for clinic in self._world.clinics}
        for clinic in self._world.clinics:
            await clinic_systems.register_clinic(clinic)
        for clinician in self._world.clinicians:
            await clinic_systems.register_clinician(clinician, zones[clinician.clinic_id], self._webhook_base_url)
        self._are_people_in.set()
        async with asyncio.TaskGroup() as task_group:
            for course in self._world.courses:
                if course.id not in self._state.submitted:
                    task_group.create_task(self._submit_course(clinic_systems, course))
        while True:
            course, session = self._world.next_session(self._state.sessions_since, datetime.now(UTC))
            self._state.sessions_since += 1  # saved first, so that a restart never submits this number again
            self._state.save(self._state_file)
            try:
                await clinic_systems.submit_session(course, session)
                if self._state.sessions_since % SESSIONS_PER_REACTION == 0:
                    await clinic_systems.handle_next_alert(course.clinician_id)
            except RequestFailed as error:
                self._ledger.failed_requests.append(str(error))
            await asyncio.sleep(SESSION_INTERVAL_SECONDS)

    async def _submit_course(self, clinic_systems: ClinicSystems, course: Course) -> None:
        await clinic_systems.submit_course(course)
        self._state.submitted.add(course.id)
        self._state.save(self._state_file)

    async def _refresh_figures(self, clinic_systems: ClinicSystems, kafka_inspector: KafkaInspector) -> Never:
        await self._are_people_in.wait()
        while True:
            unanswered = self._ledger.last_unanswered_sessions()
            await self._figures.refresh(
                clinic_systems, self._world, kafka_inspector, unanswered, self._attune.ops_urls["alliance"]
            )
            self._write_start_page()
            await asyncio.sleep(REFRESH_INTERVAL_SECONDS)

    def _write_start_page(self) -> None:
        """Offer the clinician with the most open alerts, and people of the same clinic."""
        front_door, busiest = self._attune.front_door, self._figures.busiest_clinician
        if front_door is not None and busiest is not None:
            clinician = next(clinician for clinician in self._world.clinicians if clinician.id == busiest)
            clinic = next(clinic for clinic in self._world.clinics if clinic.id == clinician.clinic_id)
            people = start_page.people_of(clinic, clinician)
            start_page.write(front_door, start_page.render(people, self._figures.open_form_url))

    async def _display(self) -> Never:
        if not console.is_terminal:
            printed = dict[str, str]()
            while True:
                console.print(display.render_line(self._display_rows()), soft_wrap=True)
                for name, address in self._addresses().items():
                    if printed.get(name) != address:
                        console.print(f"{name}: {address}", soft_wrap=True)
                        printed[name] = address
                await asyncio.sleep(LINE_INTERVAL_SECONDS)
        with Live(console=console, auto_refresh=False) as screen:
            while True:
                screen.update(display.render_table(self._display_rows(), self._addresses()), refresh=True)
                await asyncio.sleep(DRAW_INTERVAL_SECONDS)

    def _display_rows(self) -> dict[str, str]:
        submitted, total = len(self._state.submitted), len(self._world.courses)
        network = f"submitting the history: {submitted} of {total} relationships"
        if submitted == total:
            network = f"running: {self._state.sessions_since} sessions since the history was submitted"
        return display.build_rows(
            network,
            self._ledger,
            self._figures,
            self._received_emails,
            self._received_webhooks,
            self._attune.failed_servers,
        )

    def _addresses(self) -> dict[str, str]:
        return display.build_addresses(self._attune, self._pages, self._figures, DATA_FOLDER)


if __name__ == "__main__":
    main()
