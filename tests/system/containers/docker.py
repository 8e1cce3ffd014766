"""Docker, as its command line."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tools.sandbox.servers.process import RunError

PROJECT_ROOT = Path(__file__).parents[3]
COMPOSE_MODULE = "github.com/docker/compose/v2"


class DockerError(Exception):
    """A command of Docker's ended with an error; the message is what it said."""


def docker(*command: str, environment: Mapping[str, str] | None = None, timeout: float | None = None) -> str:
    """What it prints. Raises Failed."""
    try:
        result = subprocess.run(
            ["docker", *command], capture_output=True, text=True, check=False, env=environment, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise DockerError(f"docker {' '.join(command[:6])}: not done in {timeout:.0f} s") from None
    if result.returncode:
        raise DockerError(f"docker {' '.join(command[:6])}: {(result.stdout + result.stderr).strip()[-3000:]}")
    return result.stdout.strip()


def require_docker() -> None:
    """Raise CannotRun, with what is to be done, where there is no engine or no compose."""
    if not shutil.which("docker"):
        raise RunError("There is no Docker here. On Debian: apt-get install docker.io; then start dockerd.")
    try:
        docker("info", "--format", "{{.ServerVersion}}")
    except DockerError as error:
        raise RunError(f"The Docker engine does not answer; start dockerd. {error}") from None
    try:
        docker("compose", "version")
    except DockerError:
        raise RunError(
            "`docker compose` is missing. Install Docker's compose plugin; where only Go's modules are reached, build "
            f"it: `go mod download -json {COMPOSE_MODULE}@v2.40.3`, copy the folder that it names, there "
            "`go build -o ~/.docker/cli-plugins/docker-compose ./cmd`."
        ) from None
