"""The command line of Docker."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tools.sandbox.servers.process import RunError

PROJECT_ROOT = Path(__file__).parents[3]
COMPOSE_MODULE = "github.com/docker/compose/v2"


class DockerError(Exception):
    """A Docker command failed; the message is its output."""


def docker(*command: str, environment: Mapping[str, str] | None = None, timeout: float | None = None) -> str:
    """Run `docker ...` and return its output. Raises DockerError."""
    try:
        result = subprocess.run(
            ["docker", *command], capture_output=True, text=True, check=False, env=environment, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise DockerError(f"docker {' '.join(command[:6])}: timed out after {timeout:.0f} s") from None
    if result.returncode:
        raise DockerError(f"docker {' '.join(command[:6])}: {(result.stdout + result.stderr).strip()[-3000:]}")
    return result.stdout.strip()


def require_docker() -> None:
    """Raise RunError, with instructions, if there is no Docker engine or no compose plugin."""
    if not shutil.which("docker"):
        raise RunError("Docker is not installed. On Debian: apt-get install docker.io; then start dockerd.")
    try:
        docker("info", "--format", "{{.ServerVersion}}")
    except DockerError as error:
        raise RunError(f"The Docker engine does not answer; start dockerd. {error}") from None
    try:
        docker("compose", "version")
    except DockerError:
        raise RunError(
            "`docker compose` is missing. Install the Docker compose plugin, or build it from the Go module proxy: "
            f"`go mod download -json {COMPOSE_MODULE}@v2.40.3`, copy the folder that it names, and run in the copy "
            "`go build -o ~/.docker/cli-plugins/docker-compose ./cmd`."
        ) from None
