"""Checks a running project from outside: uses it, then causes every kind of outage that an operator may meet."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.system.containers.alert_receivers import check_alert_receivers
from tests.system.containers.compose import ComposeProject
from tests.system.containers.confinement import find_excess_privileges
from tests.system.containers.docker import PROJECT_ROOT, docker
from tests.system.containers.runbook_checks import check_runbooks, check_skipping_record
from tests.system.containers.visible_state import measure_alert_seconds, read_visible_state
from tests.system.smoke.run import SmokeRun
from tests.system.support.checks import Checks
from tools.sandbox.network.clinic_systems import ClinicSystems
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.network.receivers import ReceivedEmail, ReceivedWebhook
from tools.sandbox.network.retrying_client import RequestFailed
from tools.sandbox.servers.inspection import wait_until
from tools.sandbox.servers.stack import SERVICES, RunningStack

BOOTSTRAP_SERVERS = "kafka:9092"
SEED = 1
RECOVERY_TIMEOUT_SECONDS = 300.0


class ComposeChecker:
    """Everything that is done to one running project, and the checks afterwards."""

    def __init__(
        self,
        compose: ComposeProject,
        checks: Checks,
        urls: Mapping[str, str],
        ops_urls: Mapping[str, str],
        received_emails: Sequence[ReceivedEmail],
        received_webhooks: Sequence[ReceivedWebhook],
        webhook_base_url: str,
    ) -> None:
        self._compose = compose
        self._checks = checks
        self._urls = urls
        self._received_emails = received_emails
        self._received_webhooks = received_webhooks
        self._webhook_base_url = webhook_base_url
        attune = RunningStack(BOOTSTRAP_SERVERS, "", urls, ops_urls, servers=(), services=(), startup_seconds=0.0)
        self._smoke_run = SmokeRun(attune, SEED, checks, received_emails, received_webhooks, webhook_base_url)
        self._visible_state: Mapping[str, str] = {}
        self._service_names: Sequence[str] = ()

    async def run(self) -> None:
        """Run all checks."""
        self._service_names = self._compose.running_services()
        self._check_confinement("before first use")
        await self._smoke_run.execute()
        self._check_confinement("after the smoke test")
        await self._check_first_relationship()
        self._visible_state = await self._read_visible_state()
        await self._crash_each_container()
        await self._kill_many_at_once()
        await self._restart_and_recreate()
        await self._backup_and_restore()
        await check_alert_receivers(
            self._compose, self._checks, self._received_emails, self._received_webhooks, self._webhook_base_url
        )
        await self._follow_runbooks()
        await self._check_profiles()
        await self._check_production()

    def _check_confinement(self, moment: str) -> None:
        """Check the privileges of every container, and print its memory use."""
        names = self._compose.running_services()
        problems = [f"{name}: {problem}" for name in names for problem in find_excess_privileges(self._compose, name)]
        self._checks.expect_none(
            "every container runs without root, capabilities and a writable root file system",
            problems,
            f"{len(names)} containers",
        )
        memory_stats = docker(
            "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *map(self._compose.container_name, names)
        )
        print(f"memory, {moment}:")
        for line in memory_stats.splitlines():
            name, memory = line.split(" ", 1)
            print(f"  {name.removeprefix(self._compose.project + '-').removesuffix('-1'):14} {memory}")

    async def _check_first_relationship(self) -> None:
        """Run the commands that README.md shows."""
        folder = self._compose.folder
        block = (PROJECT_ROOT / "README.md").read_text().partition("## A first relationship")[2].partition("```sh\n")[2]
        environment = {**os.environ, "CURL_CA_BUNDLE": str(folder / "secrets/tls_certificate")}

        def run_block() -> subprocess.CompletedProcess[str]:
            command = ["bash", "-eu", "-c", block.partition("```")[0]]  # a terminal has no pipefail
            return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=180)

        result = await asyncio.to_thread(run_block)
        output = (result.stdout + result.stderr).strip().splitlines()
        self._checks.expect_none(
            "the README's first relationship leads to an alert", output[-5:] if result.returncode else []
        )

    async def _read_visible_state(self) -> Mapping[str, str]:
        clinician_ids = (
            [clinician.id for clinician in self._smoke_run.clinicians]
            if self._smoke_run.ledger.started_relationships
            else []
        )
        credentials = self._smoke_run.credentials
        async with ClinicSystems(self._process_urls, credentials, self._smoke_run.ledger) as clinic_systems:
            return await read_visible_state(clinic_systems, clinician_ids)

    @property
    def _process_urls(self) -> Mapping[str, Sequence[str]]:
        return {name: (url,) for name, url in self._urls.items()}

    async def _crash_each_container(self) -> None:
        """The main process of each container is killed, one after the other; Docker starts it again."""
        for name in self._service_names:
            restart_count = self._compose.inspect(name)["RestartCount"]

            def has_restarted(name: str = name, count_before: int = restart_count) -> bool:
                return int(self._compose.inspect(name)["RestartCount"]) > count_before

            self._compose.kill_main_process(name)
            await self._check_recovery(f"{name} recovers after a crash", has_restarted)

    async def _kill_many_at_once(self) -> None:
        targets = {"killing all four services": SERVICES, "killing all containers": self._service_names}
        for description, names in targets.items():
            await asyncio.to_thread(docker, "kill", *map(self._compose.container_name, names))
            await asyncio.to_thread(self._compose.up)
            await self._check_recovery(f"recovery after {description}")

    async def _restart_and_recreate(self) -> None:
        await asyncio.to_thread(self._compose.run, "restart")
        await self._check_recovery("docker compose restart")
        await asyncio.to_thread(self._compose.down)
        startup_seconds = await asyncio.to_thread(self._compose.up)
        print(f"started on existing volumes in {startup_seconds:.0f} s")
        await self._check_recovery("docker compose down and up on the same volumes")

    async def _backup_and_restore(self) -> None:
        """Delete everything but the backup, and restore it."""
        backup_folder = self._compose.folder / "saved"
        await self._run_script("backup.sh", backup_folder)
        await self._check_recovery("recovery after a backup")
        await asyncio.to_thread(self._compose.down, "--volumes")
        shutil.rmtree(self._compose.folder / "secrets")
        await self._run_script("restore.sh", backup_folder)
        await asyncio.to_thread(self._compose.up)
        await self._check_recovery("restore of all volumes and secrets from the backup")

    async def _run_script(self, script: str, folder: Path) -> None:
        await asyncio.to_thread(self._compose.run_script, script, str(folder))

    async def _follow_runbooks(self) -> None:
        async def is_recovered() -> bool:
            return await asyncio.to_thread(self._is_recovered, lambda: True)

        await check_runbooks(self._compose, self._checks, is_recovered)
        await self._check_recovery("recovery after following the runbooks")
        await check_skipping_record(self._compose, self._checks, BOOTSTRAP_SERVERS)
        await self._check_recovery("an undecodable record is skipped as the runbook says")

    async def _check_profiles(self) -> None:
        """The simulated clinic submits its history through the gateway's links; the mail catcher is up."""
        await asyncio.to_thread(self._compose.run, "--profile", "demo", "--profile", "mail", "up", "-d", "--wait")

        async def is_active() -> bool:
            return "relationships" in self._compose.logs("clinic")

        self._checks.expect(
            "the simulated clinic is active (profile demo)",
            await wait_until(is_active, 120.0),
            self._last_log_line("clinic"),
        )
        self._checks.expect("the mail catcher is up (profile mail)", self._compose.is_healthy("mail"))
        self._check_confinement("with the simulated clinic")

    async def _check_production(self) -> None:
        """Start three brokers and three members on fresh volumes, then lose one of each."""
        await asyncio.to_thread(self._compose.down, "--volumes")
        self._compose.files = ("docker-compose.yml", "docker-compose.production.yml")
        startup_seconds = await asyncio.to_thread(self._compose.up)
        self._service_names, self._visible_state = self._compose.running_services(), {}
        print(f"docker-compose.production.yml is up in {startup_seconds:.0f} s: {', '.join(self._service_names)}")
        self._check_confinement("with docker-compose.production.yml")
        self._smoke_run.ledger.started_relationships.clear()
        await self._check_recovery("three Kafka brokers and three MongoDB members")
        killed = ("kafka-2", "mongo")  # the primary
        await asyncio.to_thread(docker, "kill", *map(self._compose.container_name, killed))
        self._service_names = [name for name in self._service_names if name not in killed]
        await self._check_recovery("a Kafka broker and the MongoDB primary are lost and not restored")

    def _last_log_line(self, name: str) -> str:
        return (self._compose.logs(name).strip().splitlines() or [""])[-1][:120]

    async def _check_recovery(self, check_name: str, precondition: Callable[[], bool] = lambda: True) -> None:
        """Check that everything recovers by itself, all views are unchanged, and new feedback leads to an alert."""
        started_at = time.monotonic()
        has_recovered = await wait_until(
            lambda: asyncio.to_thread(self._is_recovered, precondition), RECOVERY_TIMEOUT_SECONDS
        )
        recovery_seconds = time.monotonic() - started_at
        try:
            visible = await self._read_visible_state()
            async with ClinicSystems(self._process_urls, self._smoke_run.credentials, Ledger()) as clinic_systems:
                alert_seconds = await measure_alert_seconds(clinic_systems)
        except (RequestFailed, TimeoutError) as error:
            self._checks.expect_none(check_name, [str(error)])
            return
        changed_paths = [path for path, content in self._visible_state.items() if visible.get(path) != content]
        problems = changed_paths if has_recovered else [*changed_paths, f"not recovered after {recovery_seconds:.0f} s"]
        self._checks.expect_none(
            check_name,
            problems,
            f"recovered after {recovery_seconds:.1f} s, {len(visible)} views unchanged, "
            f"new alert after {alert_seconds:.1f} s",
        )

    def _is_recovered(self, precondition: Callable[[], bool]) -> bool:
        return precondition() and all(map(self._compose.is_healthy, self._service_names)) and self._are_services_ready()

    def _are_services_ready(self) -> bool:
        """Whether the readiness check of every service passes, requested inside its container."""
        probe_code = "import urllib.request as r; r.urlopen('http://127.0.0.1:9000/health/ready', timeout=5)"
        return all(self._compose.command_succeeds(name, "python", "-c", probe_code) for name in SERVICES)
