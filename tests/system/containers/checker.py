"""The judgement of what runs: used from outside, then broken in every way that an operator will meet."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.system.containers.alert_receivers import called
from tests.system.containers.compose import Compose
from tests.system.containers.confinement import too_free
from tests.system.containers.docker import HOME, docker
from tests.system.containers.runbook_checks import operated, passed_over
from tests.system.containers.visible_state import all_that_is_seen, told_now
from tests.system.smoke.run import Run
from tests.system.support.checks import Checks
from tools.sandbox.network.clinic_systems import Clinics, NotTaken
from tools.sandbox.network.receivers import Hook, Mail
from tools.sandbox.servers.inspection import until
from tools.sandbox.servers.stack import SERVICES, Stack

KAFKA = "kafka:9092"
SEED = 1
BACK_WITHIN = 300.0  # seconds


class Judge:
    """Everything that is done to one project that is up, and what must hold afterwards."""

    def __init__(
        self,
        compose: Compose,
        checks: Checks,
        urls: Mapping[str, str],
        mails: Sequence[Mail],
        hooks: Sequence[Hook],
        webhook_base_url: str,
    ) -> None:
        self._compose = compose
        self._checks = checks
        self._urls = urls
        self._mails = mails
        self._hooks = hooks
        self._webhooks = webhook_base_url
        attune = Stack(KAFKA, "", urls, servers=(), services=(), seconds=0.0)
        self._smoke = Run(attune, SEED, checks, mails, hooks, webhook_base_url)
        self._seen: Mapping[str, str] = {}
        self._names: Sequence[str] = ()

    async def whole(self) -> None:
        """All of it."""
        self._names = self._compose.running()
        self._look("nobody has used it yet")
        await self._smoke.whole()
        self._look("after the smoke test")
        await self._first_relationship()
        self._seen = await self._what_is_seen()
        await self._crashes()
        await self._at_once()
        await self._planned()
        await self._backup()
        await called(self._compose, self._checks, self._mails, self._hooks, self._webhooks)
        await self._runbooks()
        await self._profiles()
        await self._production()

    def _look(self, when: str) -> None:
        """At every container: what it may, and how much memory it uses."""
        names = self._compose.running()
        problems = [f"{name}: {problem}" for name in names for problem in too_free(self._compose, name)]
        self._checks.none(
            "every container is nobody, writes to no root file system and has no capability",
            problems,
            f"{len(names)} containers",
        )
        memory_stats = docker(
            "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *map(self._compose.container, names)
        )
        print(f"memory, {when}:")
        for line in memory_stats.splitlines():
            name, memory = line.split(" ", 1)
            print(f"  {name.removeprefix(self._compose.project + '-').removesuffix('-1'):14} {memory}")

    async def _first_relationship(self) -> None:
        """What README.md says to paste, pasted on the server itself."""
        folder = self._compose.folder
        block = (HOME / "README.md").read_text().partition("## A first relationship")[2].partition("```sh\n")[2]
        environment = {**os.environ, "CURL_CA_BUNDLE": str(folder / "secrets/tls_certificate")}

        def paste() -> subprocess.CompletedProcess[str]:
            command = ["bash", "-eu", "-c", block.partition("```")[0]]  # a terminal has no pipefail
            return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=180)

        result = await asyncio.to_thread(paste)
        output = (result.stdout + result.stderr).strip().splitlines()
        self._checks.none("the README's first relationship leads to an alert", output[-5:] if result.returncode else [])

    async def _what_is_seen(self) -> Mapping[str, str]:
        clinician_ids = [clinician.id for clinician in self._smoke.clinicians] if self._smoke.ledger.started else []
        async with Clinics(self._processes, self._smoke.ledger) as clinic_systems:
            return await all_that_is_seen(clinic_systems, clinician_ids)

    @property
    def _processes(self) -> Mapping[str, Sequence[str]]:
        return {name: (url,) for name, url in self._urls.items()}

    async def _crashes(self) -> None:
        """The main process of each container is killed, one after the other; Docker starts it again."""
        for name in self._names:
            restart_count = self._compose.inspect(name)["RestartCount"]

            def restarted(name: str = name, before: int = restart_count) -> bool:
                return int(self._compose.inspect(name)["RestartCount"]) > before

            self._compose.crash(name)
            await self._survived(f"{name} crashes and comes back by itself", restarted)

    async def _at_once(self) -> None:
        for description, names in {"all four services are": SERVICES, "everything is": self._names}.items():
            await asyncio.to_thread(docker, "kill", *map(self._compose.container, names))
            await asyncio.to_thread(self._compose.up)
            await self._survived(f"{description} killed at once, and brought up")

    async def _planned(self) -> None:
        await asyncio.to_thread(self._compose.run, "restart")
        await self._survived("docker compose restart")
        await asyncio.to_thread(self._compose.down)
        startup_seconds = await asyncio.to_thread(self._compose.up)
        print(f"up again on volumes with data in {startup_seconds:.0f} s")
        await self._survived("docker compose down, and up on the same volumes")

    async def _backup(self) -> None:
        """Everything is lost but what was saved."""
        backup_folder = self._compose.folder / "saved"
        await self._sh("backup.sh", backup_folder)
        await self._survived("a backup, after which everything runs again")
        await asyncio.to_thread(self._compose.down, "--volumes")
        shutil.rmtree(self._compose.folder / "secrets")
        await self._sh("restore.sh", backup_folder)
        await asyncio.to_thread(self._compose.up)
        await self._survived("all volumes and secrets are lost, and restored from the backup")

    async def _sh(self, script: str, folder: Path) -> None:
        await asyncio.to_thread(self._compose.script, script, str(folder))

    async def _runbooks(self) -> None:
        async def well() -> bool:
            return await asyncio.to_thread(self._well, lambda: True)

        await operated(self._compose, self._checks, well)
        await self._survived("the runbooks")
        await passed_over(self._compose, self._checks, KAFKA)
        await self._survived("a record that nobody can read, passed over as its runbook says")

    async def _profiles(self) -> None:
        """The simulated clinic tells its history through the gateway's own links; the mail catcher is up."""
        await asyncio.to_thread(self._compose.run, "--profile", "demo", "--profile", "mail", "up", "-d", "--wait")

        async def lives() -> bool:
            return "relationships" in self._compose.log("clinic")

        self._checks.holds(
            "the simulated clinic uses it (profile demo)", await until(lives, 120.0), self._last("clinic")
        )
        self._checks.holds("the mail catcher is up (profile mail)", self._compose.healthy("mail"))
        self._look("with the simulated clinic")

    async def _production(self) -> None:
        """Three brokers and three members, from the beginning; then one of each is lost."""
        await asyncio.to_thread(self._compose.down, "--volumes")
        self._compose.files = ("docker-compose.yml", "docker-compose.production.yml")
        startup_seconds = await asyncio.to_thread(self._compose.up)
        self._names, self._seen = self._compose.running(), {}
        print(f"docker-compose.production.yml is up in {startup_seconds:.0f} s: {', '.join(self._names)}")
        self._look("with docker-compose.production.yml")
        self._smoke.ledger.started.clear()
        await self._survived("three brokers and three members")
        killed = ("kafka-2", "mongo")  # the primary
        await asyncio.to_thread(docker, "kill", *map(self._compose.container, killed))
        self._names = [name for name in self._names if name not in killed]
        await self._survived("a broker and MongoDB's primary are lost, and nobody repairs it")

    def _last(self, name: str) -> str:
        return (self._compose.log(name).strip().splitlines() or [""])[-1][:120]

    async def _survived(self, what: str, first: Callable[[], bool] = lambda: True) -> None:
        """Everything is well again by itself, all that was seen is seen, and what is told now leads to an alert."""
        started_at = time.monotonic()
        has_recovered = await until(lambda: asyncio.to_thread(self._well, first), BACK_WITHIN)
        recovery_seconds = time.monotonic() - started_at
        try:
            visible = await self._what_is_seen()
            async with Clinics(self._processes, type(self._smoke.ledger)()) as clinic_systems:
                alert_seconds = await told_now(clinic_systems)
        except (NotTaken, TimeoutError) as error:
            self._checks.none(what, [str(error)])
            return
        changed_paths = [path for path, content in self._seen.items() if visible.get(path) != content]
        problems = (
            changed_paths if has_recovered else [*changed_paths, f"not well again after {recovery_seconds:.0f} s"]
        )
        self._checks.none(
            what,
            problems,
            f"well after {recovery_seconds:.1f} s, {len(visible)} views as before, somebody new's alert after {alert_seconds:.1f} s",
        )

    def _well(self, first: Callable[[], bool]) -> bool:
        return first() and all(map(self._compose.healthy, self._names)) and self._ready()

    def _ready(self) -> bool:
        """Every service says so; asked in its own container, by its own Python."""
        probe_code = "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=5)"
        return all(self._compose.does(name, "python", "-c", probe_code) for name in SERVICES)
