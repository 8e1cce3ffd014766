"""One docker compose project in its own folder, as an operator has it."""

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

from tests.system.containers.docker import PROJECT_ROOT, DockerError, docker

PROJECT_FILES = (".dockerignore", ".env.example", "Dockerfile", "docker-compose.yml", "docker-compose.production.yml")
PROJECT_FOLDERS = ("deploy", "services", "shared", "tools")
JOB_SERVICES = ("secrets", "topics", "replica-set")
COMMAND_TIMEOUT_SECONDS = 600  # for two busy cores; an idle laptop needs a minute


@dataclass
class ComposeProject:
    """A compose project; its folder contains the project's files and secrets."""

    folder: Path
    settings: Mapping[str, str]
    project: str = "attune-test"
    files: tuple[str, ...] = ("docker-compose.yml",)
    _environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._environment = {**os.environ, **self.settings}

    def copy_files(self) -> None:
        """Copy the files of a fresh clone that the containers need."""
        for part in PROJECT_FILES:
            shutil.copy(PROJECT_ROOT / part, self.folder)
        for part in PROJECT_FOLDERS:
            shutil.copytree(PROJECT_ROOT / part, self.folder / part, ignore=shutil.ignore_patterns("__pycache__"))

    def run(self, *command: str, **environment_overrides: str) -> str:
        """Run `docker compose ...` and return its output. Raises DockerError."""
        file_arguments = [word for file in self.files for word in ("-f", str(self.folder / file))]
        environment = {**self._environment, **environment_overrides}
        return docker(
            "compose",
            "-p",
            self.project,
            *file_arguments,
            *command,
            environment=environment,
            timeout=COMMAND_TIMEOUT_SECONDS,
        )

    def up(self, *services: str, **environment_overrides: str) -> float:
        """Start, and wait until everything is healthy; return the seconds it took. Raises DockerError."""
        started_at = time.monotonic()
        self.run("up", "--detach", "--wait", *services, **environment_overrides)
        return time.monotonic() - started_at

    def down(self, *options: str) -> None:
        """Remove its containers, whichever compose files they came from."""
        full_project = ComposeProject(self.folder, self.settings, self.project, (*PROJECT_FILES[-2:],))
        full_project.run("--profile", "demo", "--profile", "mail", "down", "--timeout", "60", *options)

    def container_name(self, name: str) -> str:
        """The name of the container of a compose service."""
        return f"{self.project}-{name}-1"

    def running_services(self) -> list[str]:
        """The compose services with a running container."""
        return self._list_services()

    def created_services(self) -> list[str]:
        """The compose services with a container, running or exited."""
        return self._list_services("--all")

    def _list_services(self, *options: str) -> list[str]:
        name = '{{.Label "com.docker.compose.service"}}'
        return sorted(docker("ps", *options, "--filter", self._label, "--format", name).split())

    def inspect(self, name: str) -> dict[str, Any]:
        """The output of `docker inspect`."""
        (details,) = json.loads(docker("inspect", self.container_name(name)))
        return dict(details)

    def is_healthy(self, name: str) -> bool:
        try:
            state = self.inspect(name)["State"]
        except DockerError:
            return False
        return bool(state["Running"] and state.get("Health", {}).get("Status", "healthy") == "healthy")

    def address(self, name: str) -> str | None:
        """Its IP address on the compose network; None if it has no container."""
        try:
            networks = self.inspect(name)["NetworkSettings"]["Networks"]
        except DockerError:
            return None
        return next((network["IPAddress"] for network in networks.values() if network["IPAddress"]), None)

    def kill_main_process(self, name: str) -> None:
        """Kill its main process as in a crash. Docker restarts it, because it was not stopped through Docker."""
        os.kill(self.inspect(name)["State"]["Pid"], signal.SIGKILL)

    def command_succeeds(self, name: str, *command: str) -> bool:
        """Whether a command in the container exits with 0."""
        result = subprocess.run(
            ["docker", "exec", self.container_name(name), *command], capture_output=True, check=False
        )
        return result.returncode == 0

    def run_script(self, name: str, *arguments: str) -> str:
        """Run one of the operator's scripts in deploy/. Raises DockerError."""
        command = ["sh", str(self.folder / "deploy" / name), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=self._environment)
        if result.returncode:
            raise DockerError(f"{name}: {(result.stdout + result.stderr).strip()[-1000:]}")
        return result.stdout

    def run_shell(self, commands: str, **environment_overrides: str) -> str:
        """Run shell commands in its folder and return their output. Raises DockerError at the first that fails."""
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
            raise DockerError(f"{commands.strip()}: {(result.stdout + result.stderr).strip()[-1000:]}")
        return result.stdout

    def logs(self, name: str) -> str:
        result = subprocess.run(
            ["docker", "logs", self.container_name(name)], capture_output=True, text=True, check=False
        )
        return result.stdout + result.stderr

    @property
    def _label(self) -> str:
        return f"label=com.docker.compose.project={self.project}"
