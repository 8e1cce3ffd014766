"""One project of docker compose, in a folder of its own, as an operator has it."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.system.containers.docker import HOME, Failed, docker

PARTS = (".dockerignore", ".env.example", "Dockerfile", "docker-compose.yml", "docker-compose.production.yml")
FOLDERS = ("deploy", "services", "shared", "tools")
JOBS = ("secrets", "topics", "replica-set")
UP_SECONDS = 600  # on two busy cores; a laptop that is idle needs one


@dataclass
class Compose:
    """Its folder holds the project's files, its secrets and its .env."""

    folder: Path
    settings: Mapping[str, str]
    project: str = "attune-test"
    files: tuple[str, ...] = ("docker-compose.yml",)
    _environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._environment = {**os.environ, **self.settings}

    def copy_here(self) -> None:
        """What a fresh clone has of what containers are made of."""
        for part in PARTS:
            shutil.copy(HOME / part, self.folder)
        for part in FOLDERS:
            shutil.copytree(HOME / part, self.folder / part, ignore=shutil.ignore_patterns("__pycache__"))

    def run(self, *command: str, **environment_overrides: str) -> str:
        """`docker compose ...`; what it prints. Raises Failed."""
        file_arguments = [word for file in self.files for word in ("-f", str(self.folder / file))]
        environment = {**self._environment, **environment_overrides}
        return docker(
            "compose", "-p", self.project, *file_arguments, *command, environment=environment, timeout=UP_SECONDS
        )

    def up(self, *what: str, **environment_overrides: str) -> float:
        """Start, and wait until everything is healthy; how many seconds that took. Raises Failed."""
        started_at = time.monotonic()
        self.run("up", "--detach", "--wait", *what, **environment_overrides)
        return time.monotonic() - started_at

    def down(self, *more: str) -> None:
        """Remove its containers, whichever files they came from."""
        full_project = Compose(self.folder, self.settings, self.project, (*PARTS[-2:],))
        full_project.run("--profile", "demo", "--profile", "mail", "down", "--timeout", "60", *more)

    def container(self, name: str) -> str:
        """The name that Docker knows it by."""
        return f"{self.project}-{name}-1"

    def running(self) -> list[str]:
        """The services of the compose file of which a container runs now."""
        return self._listed()

    def created(self) -> list[str]:
        """Those, and the ones that have ended."""
        return self._listed("--all")

    def _listed(self, *more: str) -> list[str]:
        name = '{{.Label "com.docker.compose.service"}}'
        return sorted(docker("ps", *more, "--filter", self._label, "--format", name).split())

    def inspect(self, name: str) -> dict[str, Any]:
        """All that Docker knows about it."""
        (details,) = json.loads(docker("inspect", self.container(name)))
        return dict(details)

    def healthy(self, name: str) -> bool:
        try:
            state = self.inspect(name)["State"]
        except Failed:
            return False
        return bool(state["Running"] and state.get("Health", {}).get("Status", "healthy") == "healthy")

    def address(self, name: str) -> str | None:
        """Where it is reached from this machine."""
        try:
            networks = self.inspect(name)["NetworkSettings"]["Networks"]
        except Failed:
            return None
        return next((network["IPAddress"] for network in networks.values() if network["IPAddress"]), None)

    def crash(self, name: str) -> None:
        """Let its main process die as in a crash; nobody told Docker, so Docker starts it again."""
        os.kill(self.inspect(name)["State"]["Pid"], signal.SIGKILL)

    def does(self, name: str, *command: str) -> bool:
        """Whether a command in the container ends well."""
        result = subprocess.run(["docker", "exec", self.container(name), *command], capture_output=True, check=False)
        return result.returncode == 0

    def script(self, name: str, *arguments: str) -> str:
        """Run one of the operator's scripts in deploy/. Raises Failed."""
        command = ["sh", str(self.folder / "deploy" / name), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=self._environment)
        if result.returncode:
            raise Failed(f"{name}: {(result.stdout + result.stderr).strip()[-1000:]}")
        return result.stdout

    def typed(self, commands: str, **environment_overrides: str) -> str:
        """What an operator types in its folder; what that prints. Raises Failed at the first that fails."""
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env={**self._environment, **environment_overrides},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise Failed(f"{commands.strip()}: {(result.stdout + result.stderr).strip()[-1000:]}")
        return result.stdout

    def log(self, name: str) -> str:
        result = subprocess.run(["docker", "logs", self.container(name)], capture_output=True, text=True, check=False)
        return result.stdout + result.stderr

    @property
    def _label(self) -> str:
        return f"label=com.docker.compose.project={self.project}"
