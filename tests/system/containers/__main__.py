"""`python -m tests.system.containers`: build all images, start them, use them, cause outages, and check the result."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.system.containers import stand_ins
from tests.system.containers.checker import ComposeChecker
from tests.system.containers.compose import ComposeProject
from tests.system.containers.docker import DockerError, docker, require_docker
from tests.system.containers.name_resolution import resolve_names
from tests.system.containers.startup_failures import check_startup_failures
from tests.system.support.checks import Checks
from tools.sandbox.network.receivers import ReceivedEmail, ReceivedWebhook, run_smtp_server, run_webhook_server
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import RunError
from tools.sandbox.servers.signals import interrupt_on_sigterm
from tools.sandbox.servers.stack import SERVICES

GATEWAY_PORT = 8443  # also the gateway's port in the compose network, so that the simulated clinic can open its links
OPS_URLS = {name: f"http://127.0.0.1:{port}" for port, name in enumerate(SERVICES, 9001)}
"""The published ports of docker-compose.yml."""
HOST = "attune.localhost"
MAX_IMAGE_OVERHEAD_MB = 120
IMAGES = (*SERVICES, "jobs", "clinic")


def main() -> None:
    interrupt_on_sigterm()
    started_at, checks = time.monotonic(), Checks(report)
    folder = Path(tempfile.mkdtemp(prefix="attune-compose-test-"))
    smtp_port, webhook_port = free_ports(2)
    settings = {
        "GATEWAY_PORT": str(GATEWAY_PORT),
        "PUBLIC_URL": f"https://{HOST}:{GATEWAY_PORT}",
        "SMTP_PORT": str(smtp_port),
        "SMTP_TLS": "none",
        "WEBHOOK_ALLOW": "host.docker.internal, clinic",  # the receivers of this test, and of the profile demo
        "COMPOSE_PROJECT_NAME": "attune-test",
    }
    compose = ComposeProject(folder, settings)
    try:
        require_docker()
        stand_in_labels = stand_ins.provide_images(report)
        compose.copy_files()
        compose.down("--volumes")  # what a killed run left
        build_images(compose, checks)
        check_startup_failures(compose, checks)
        run_checks(compose, checks, smtp_port, webhook_port)
        report("\nnot proven by this run, because stand-in images were used:")
        for image, label in stand_in_labels.items():
            report(f"  {image}: {label}")
    except RunError as error:
        report(str(error))
        checks.expect("the prerequisites are met", False)
    except DockerError as docker_error:
        checks.expect(f"the test completes: {docker_error}", False)
        if (folder / "docker-compose.yml").exists():
            show_logs(compose)
    except KeyboardInterrupt:
        sys.exit("stopped; nothing was checked")
    finally:
        if shutil.which("docker") and (folder / "docker-compose.yml").exists():
            clean_up(compose)
        shutil.rmtree(folder)
    report(f"{checks.passed} passed, {checks.failed} failed, in {time.monotonic() - started_at:.0f} s")
    sys.exit(1 if checks.failed else 0)


def build_images(compose: ComposeProject, checks: Checks) -> None:
    """Build all images, check their sizes, and check that a second build of one is identical."""
    started_at = time.monotonic()
    compose.run("--profile", "demo", "build")
    report(f"built in {time.monotonic() - started_at:.0f} s")
    base = next(image for image, stage in stand_ins.stages_by_image().items() if stage == "python")
    sizes = {name: image_size_mb(f"attune-{name}") - image_size_mb(base) for name in IMAGES}
    checks.expect_none(
        f"every image adds less than {MAX_IMAGE_OVERHEAD_MB} MB to its base",
        [f"{name}: {size_mb:.0f} MB" for name, size_mb in sizes.items() if size_mb >= MAX_IMAGE_OVERHEAD_MB],
        ", ".join(f"{name} {size_mb:.0f} MB" for name, size_mb in sizes.items()),
    )
    first_hash = hash_contents("attune-notify")
    build_arguments = ("--target", "service", "--build-arg", "SERVICE=notify", "--tag", "attune-test-again")
    docker("build", "--quiet", "--no-cache", *build_arguments, str(compose.folder))
    checks.expect("image builds are reproducible", hash_contents("attune-test-again") == first_hash)
    docker("rmi", "attune-test-again")


def image_size_mb(image: str) -> float:
    return int(docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6


def hash_contents(image: str) -> str:
    """A hash of all files that do not belong to the base image."""
    return docker(
        *("run", "--rm", "--user", "0", "--network", "none", image),
        *("sh", "-c", "find /venv /attune -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum"),
    )


def run_checks(compose: ComposeProject, checks: Checks, smtp_port: int, webhook_port: int) -> None:
    """Start everything on fresh volumes and run all checks."""
    password = create_secrets(compose)
    os.environ["SSL_CERT_FILE"] = str(compose.folder / "secrets/tls_certificate")
    urls = {name: f"https://staff:{password}@{HOST}:{GATEWAY_PORT}/{name}" for name in SERVICES}
    bridge_address = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    received_emails, received_webhooks = list[ReceivedEmail](), list[ReceivedWebhook]()

    def address_of(name: str) -> str | None:
        return "127.0.0.1" if name == HOST else compose.address(name) if name == "kafka" else None

    with ExitStack() as exit_stack:
        exit_stack.enter_context(run_smtp_server(smtp_port, received_emails, bridge_address))
        exit_stack.enter_context(run_webhook_server(webhook_port, received_webhooks, bridge_address))
        exit_stack.enter_context(resolve_names(address_of))
        startup_seconds = compose.up()
        checks.expect("all containers become healthy on fresh volumes", True, f"in {startup_seconds:.0f} s")
        webhook_base_url = f"http://host.docker.internal:{webhook_port}"
        checker = ComposeChecker(compose, checks, urls, OPS_URLS, received_emails, received_webhooks, webhook_base_url)
        asyncio.run(checker.run())


def create_secrets(compose: ComposeProject) -> str:
    """Create all secrets again; return the password of the clinic's staff."""
    shutil.rmtree(compose.folder / "secrets", ignore_errors=True)
    output = subprocess.run(
        ["sh", compose.folder / "deploy/secrets.sh", HOST], capture_output=True, text=True, check=True
    ).stdout
    match = re.search(r"has the password (\S+)", output)
    assert match
    return match[1]


def report(line: str) -> None:
    print(line, flush=True)


def show_logs(compose: ComposeProject) -> None:
    for name in compose.created_services():
        report(f"--- {name}\n" + "\n".join(line[:300] for line in compose.logs(name).splitlines()[-8:]))


def clean_up(compose: ComposeProject) -> None:
    try:
        compose.down("--volumes")
    except DockerError as error:
        report(f"clean-up failed: {error}")


if __name__ == "__main__":
    main()
