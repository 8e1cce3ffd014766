"""`python -m tools.sandbox.demo`: everything runs here, and a simulated clinic network uses it, until Ctrl-C."""

import asyncio
import os
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Never

from aiokafka.errors import KafkaError
from rich.console import Console
from rich.live import Live

from tools.sandbox.demo import display
from tools.sandbox.demo.figures import Figures
from tools.sandbox.demo.state import State
from tools.sandbox.network.clinic_systems import Clinics, NotTaken
from tools.sandbox.network.course import Course
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.network.parameters import Parameters
from tools.sandbox.network.receivers import Hook, Mail, mail_server, web_server
from tools.sandbox.network.world import World
from tools.sandbox.servers.kafka_inspector import Topics
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import HOME, CannotRun
from tools.sandbox.servers.signals import end_on_sigterm
from tools.sandbox.servers.stack import SERVICES, Stack, stack

DATA = HOME / ".attune" / "demo"
SEED = 2026  # everybody sees the same network
FIRST_PORT = 8001  # of the services; DEMO_PORT chooses another
PACE = 0.4  # seconds from one session to the next, once history is told
LOOK_EVERY, LINE_EVERY, DRAW_EVERY = 4.0, 5.0, 0.5  # seconds
REACTS_EVERY = 10  # sessions; so often a clinician does something about an alert

console = Console(highlight=False)


def main() -> None:
    end_on_sigterm()
    try:
        run(int(os.environ.get("DEMO_PORT", FIRST_PORT)))
    except CannotRun as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        console.print("Stopped. `make demo` goes on from here; `make clean` forgets.")


def run(first_port: int) -> None:
    """Start, live until Ctrl-C, and end everything that was started. Raises CannotRun."""
    ports = dict(zip(SERVICES, range(first_port, first_port + len(SERVICES)), strict=True))
    smtp_port, webhook_port = free_ports(2)
    received_emails, received_webhooks = list[Mail](), list[Hook]()
    DATA.mkdir(parents=True, exist_ok=True)
    with ExitStack() as exit_stack:
        exit_stack.enter_context(mail_server(smtp_port, received_emails))
        exit_stack.enter_context(web_server(webhook_port, received_webhooks))
        smtp = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(smtp_port)}
        try:
            attune = exit_stack.enter_context(stack(DATA, ports, smtp, say=console.print))
        except CannotRun as error:
            if any(str(port) in str(error) for port in ports.values()):
                raise CannotRun(f"{error}\nChoose others: DEMO_PORT=9001 make demo") from None
            raise
        console.print(f"Everything runs, after {attune.seconds:.0f} s.")
        asyncio.run(Demo(attune, received_emails, received_webhooks, f"http://127.0.0.1:{webhook_port}").live())


class Demo:
    """The clinic network: its history as fast as it can be told, then one session after the other."""

    def __init__(self, attune: Stack, mails: list[Mail], hooks: list[Hook], webhook_base_url: str) -> None:
        self._attune = attune
        self._mails = mails
        self._hooks = hooks
        self._webhooks = webhook_base_url
        self._file = DATA / "world.json"
        self._state = State.of(self._file, SEED, datetime.now(UTC))
        self._world = World(self._state.seed, self._state.until, Parameters())
        self._ledger = Ledger()
        self._figures = Figures()

    async def live(self) -> None:
        """Until it is cancelled."""
        try:
            async with (
                Clinics(self._attune.processes, self._ledger) as clinic_systems,
                Clinics(self._attune.processes, Ledger()) as observer,
                Topics(self._attune.kafka) as kafka_inspector,
                asyncio.TaskGroup() as task_group,
            ):
                task_group.create_task(self._look(observer, kafka_inspector))
                task_group.create_task(self._show())
                task_group.create_task(self._happen(clinic_systems))
        except* (NotTaken, KafkaError) as errors:
            raise CannotRun(f"A part of Attune has failed: {errors.exceptions[0]}\nThe logs: {DATA}/*/log") from errors
        finally:
            self._state.keep(self._file)

    async def _happen(self, clinics: Clinics) -> Never:
        zones = {clinic.id: clinic.time_zone for clinic in self._world.clinics}
        for clinic in self._world.clinics:
            await clinics.open_clinic(clinic)
        for clinician in self._world.clinicians:
            await clinics.employ(clinician, zones[clinician.clinic_id], self._webhooks)
        async with asyncio.TaskGroup() as task_group:
            for course in self._world.courses:
                if course.id not in self._state.told:
                    task_group.create_task(self._tell(clinics, course))
        while True:
            course, session = self._world.next_session(self._state.sessions_since, datetime.now(UTC))
            self._state.sessions_since += 1  # kept first: told half, then killed, it would be another one next time
            self._state.keep(self._file)
            try:
                await clinics.hold(course.id, session)
                if self._state.sessions_since % REACTS_EVERY == 0:
                    await clinics.react(course.clinician_id)
            except NotTaken as error:
                self._ledger.refused.append(str(error))
            await asyncio.sleep(PACE)

    async def _tell(self, clinics: Clinics, course: Course) -> None:
        await clinics.live_through(course)
        self._state.told.add(course.id)
        self._state.keep(self._file)

    async def _look(self, clinics: Clinics, kafka_inspector: Topics) -> Never:
        while True:
            await self._figures.look(clinics, self._world, kafka_inspector)
            await asyncio.sleep(LOOK_EVERY)

    async def _show(self) -> Never:
        if not console.is_terminal:
            while True:
                console.print(display.line(self._rows()), soft_wrap=True)
                await asyncio.sleep(LINE_EVERY)
        with Live(console=console, auto_refresh=False) as screen:
            while True:
                screen.update(display.picture(self._rows(), self._addresses()), refresh=True)
                await asyncio.sleep(DRAW_EVERY)

    def _rows(self) -> dict[str, str]:
        submitted, total = len(self._state.told), len(self._world.courses)
        network = f"telling of its last six months: {submitted} of {total} relationships"
        if submitted == total:
            network = f"living on: {self._state.sessions_since} sessions since its history was told"
        return display.rows(network, self._ledger, self._figures, self._mails, self._hooks, self._attune.ended)

    def _addresses(self) -> dict[str, str]:
        return display.addresses(self._attune.urls, self._figures, DATA)


if __name__ == "__main__":
    main()
