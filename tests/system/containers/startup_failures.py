"""Startup failures that an operator may meet; each must be reported in one clear line of the log or output."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.system.containers.compose import ComposeProject
from tests.system.containers.docker import DockerError, docker
from tests.system.support.checks import Checks

LOG_TIMEOUT_SECONDS = 90.0
# Formats the data with the next metadata version, as a newer Kafka would.
FORMAT_WITH_NEXT_VERSION = """
cat >/tmp/next.properties <<END
node.id=1
process.roles=broker,controller
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
controller.listener.names=CONTROLLER
controller.quorum.voters=1@kafka:9093
log.dirs=/var/lib/kafka/data
unstable.feature.versions.enable=true
END
/opt/kafka/bin/kafka-storage.sh format --cluster-id "$CLUSTER_ID" --config /tmp/next.properties \\
    --release-version 4.4-IV0
"""
SMALL_DISK_OVERRIDE = """
services:
  kafka:
    volumes: !override []
    tmpfs: ["/var/lib/kafka/data:size=64m,uid=1000,gid=1000"]
"""


def check_startup_failures(compose: ComposeProject, checks: Checks) -> None:
    """Check each failure on fresh volumes and remove everything afterwards."""
    compose.run_script("secrets.sh")
    _check_secrets(compose, checks)
    _check_port_in_use(compose, checks)
    _check_other_cluster_id(compose, checks)
    _check_mongodb_setup(compose, checks)
    compose.down("--volumes")
    _check_newer_kafka_data(compose, checks)
    _check_older_mongodb_data(compose, checks)
    compose.down("--volumes")
    _check_little_memory(checks)
    _check_full_kafka_disk(compose, checks)
    _check_full_mongodb_disk(checks)
    compose.down("--volumes")


def _check_secrets(compose: ComposeProject, checks: Checks) -> None:
    secret = compose.folder / "secrets/grafana_admin_password"
    original = secret.read_text()
    secret.unlink()
    output = _startup_error(compose)
    _check_clear_line(checks, "a missing secret", output, str(secret))
    secret.write_text("change-me")
    _startup_error(compose)
    _check_clear_line(
        checks, "an example secret", compose.logs("secrets"), "secrets: grafana_admin_password is an example value"
    )
    secret.write_text(original)


def _check_port_in_use(compose: ComposeProject, checks: Checks) -> None:
    with socket.create_server(("0.0.0.0", int(compose.settings["GATEWAY_PORT"]))):
        _check_clear_line(checks, "a port in use", _startup_error(compose, "gateway"), "address already in use")


def _check_other_cluster_id(compose: ComposeProject, checks: Checks) -> None:
    compose.up("kafka")
    compose.run("up", "--detach", "kafka", KAFKA_CLUSTER_ID="b3RoZXJjbHVzdGVyMDAwMQ")
    _check_log_line(compose, checks, "Kafka with another cluster's data", "kafka", "Invalid cluster.id in")


def _check_mongodb_setup(compose: ComposeProject, checks: Checks) -> None:
    compose.up("mongo")
    compose.run("up", "--detach", "--no-deps", "intake")
    _check_log_line(
        compose,
        checks,
        "a replica set that does not exist",
        "intake",
        "check that MongoDB runs, is a replica set and has been initiated",
    )
    compose.run("up", "replica-set")
    with _wrong_password(compose, "intake_mongodb_password", "intake"):
        _check_log_line(
            compose, checks, "a wrong password of a service", "intake", "MongoDB rejects the username or password"
        )
    with _wrong_password(compose, "mongodb_admin_password", "replica-set"):
        _check_log_line(
            compose, checks, "a wrong password of the administrator", "replica-set", "another mongodb_admin_password"
        )


@contextmanager
def _wrong_password(compose: ComposeProject, secret: str, service: str) -> Iterator[None]:
    """Start a container with a wrong password."""
    file = compose.folder / "secrets" / secret
    original = file.read_text()
    file.write_text("another-password-altogether")
    compose.run("up", "--detach", "--no-deps", "--force-recreate", service)
    try:
        yield
    finally:
        file.write_text(original)


def _check_newer_kafka_data(compose: ComposeProject, checks: Checks) -> None:
    """The data has the next metadata version, which this Kafka can write but does not read by default."""
    compose.run("run", "--rm", "--no-deps", "kafka", "sh", "-euc", FORMAT_WITH_NEXT_VERSION)
    compose.run("up", "--detach", "--no-deps", "kafka")
    _check_log_line(
        compose, checks, "Kafka with data of a later version", "kafka", "this controller only supports versions"
    )


def _check_older_mongodb_data(compose: ComposeProject, checks: Checks) -> None:
    """The data is marked as created by MongoDB 4.4, which the current version cannot upgrade."""
    container_name, older_version = "attune-test-older", {"_id": "featureCompatibilityVersion", "version": "4.4"}
    compose.run("run", "--detach", "--no-deps", "--name", container_name, "mongo", "mongod", "--bind_ip_all")
    try:
        (network,) = json.loads(
            docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", container_name)
        ).values()
        with MongoClient[dict[str, Any]](network["IPAddress"], serverSelectionTimeoutMS=60_000) as client:
            client.admin["older"].insert_one(older_version)
            collection_id = next(client.admin.list_collections(filter={"name": "older"}))["info"]["uuid"]
            rename_command = {"renameCollection": "admin.older", "to": "admin.system.version"}
            client.admin.command(
                "applyOps", [{"op": "c", "ns": "admin.$cmd", "ui": collection_id, "o": rename_command}]
            )
        docker("stop", "--time", "60", container_name)
    finally:
        docker("rm", "--force", container_name)
    compose.run("up", "--detach", "--no-deps", "mongo")
    _check_log_line(compose, checks, "MongoDB with data of an earlier version", "mongo", "Wrong mongod version")


def _check_little_memory(checks: Checks) -> None:
    docker("run", "--detach", "--name", "attune-test-small", "--memory", "24m", "attune-intake", *_import_command())
    try:
        exit_code = docker("wait", "attune-test-small")
        is_oom_killed = docker("inspect", "--format", "{{.State.OOMKilled}}", "attune-test-small")
        checks.expect(
            "too little memory: exit code 137, OOMKilled", (exit_code, is_oom_killed) == ("137", "true"), exit_code
        )
    finally:
        docker("rm", "--force", "attune-test-small")


def _import_command() -> tuple[str, ...]:
    return ("python", "-c", "import services.intake.app")


def _check_full_kafka_disk(compose: ComposeProject, checks: Checks) -> None:
    """The disk is completely full when the topics are created."""
    override_file = compose.folder / "small.yml"
    override_file.write_text(SMALL_DISK_OVERRIDE)
    original_files, compose.files = compose.files, (*compose.files, override_file.name)
    compose.up("kafka")
    with suppress(DockerError):  # fails because the disk is full, as intended
        compose.run("exec", "kafka", "sh", "-c", "cat /dev/zero >/var/lib/kafka/data/rest")
    compose.run("up", "--detach", "--no-deps", "topics")
    _check_log_line(compose, checks, "a full disk under Kafka", "kafka", "No space left on device")
    compose.files = original_files
    compose.down("--volumes")


def _check_full_mongodb_disk(checks: Checks) -> None:
    """MongoDB has to write when the disk is completely full."""
    container_name, image = "attune-test-full", "mongo:8.0.21"
    disk_options = ("--tmpfs", "/tmp", "--tmpfs", "/data/db:size=400m,uid=999")
    docker(
        "run",
        "--detach",
        "--name",
        container_name,
        "--user",
        "999:999",
        *disk_options,
        image,
        "mongod",
        "--bind_ip_all",
    )
    try:
        address = docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", container_name)
        with MongoClient[dict[str, Any]](address, serverSelectionTimeoutMS=60_000) as client:
            client.admin.command("ping")
            with suppress(DockerError):  # fails because the disk is full, as intended
                docker("exec", container_name, "sh", "-c", "cat /dev/zero >/data/db/rest")
            error_text = ""
            try:
                for _ in range(60):
                    client["test"]["blobs"].insert_one({"of": "bytes", "more": os.urandom(1_000_000)})
            except PyMongoError as error:
                error_text = str(error)
        exit_code = docker("wait", container_name)
        log = docker("logs", container_name)
        _check_clear_line(
            checks,
            f"a full disk under MongoDB (exit code {exit_code})",
            f"{error_text}\n{log}",
            "No space left on device",
        )
    finally:
        docker("rm", "--force", "--volumes", container_name)


def _startup_error(compose: ComposeProject, *services: str) -> str:
    """The error output of a `docker compose up` that fails."""
    try:
        compose.up(*services)
    except DockerError as error:
        return str(error)
    return "the start succeeded"


def _check_log_line(compose: ComposeProject, checks: Checks, check_name: str, service: str, line: str) -> None:
    deadline = time.monotonic() + LOG_TIMEOUT_SECONDS
    while line not in compose.logs(service) and time.monotonic() < deadline:
        time.sleep(1)  # there is no notification when a log grows
    _check_clear_line(checks, check_name, compose.logs(service), line)


def _check_clear_line(checks: Checks, check_name: str, output: str, line: str) -> None:
    matching_lines = [output_line for output_line in output.splitlines() if line in output_line]
    checks.expect_none(
        f"{check_name} is reported in one clear line",
        [] if matching_lines else output.splitlines()[-5:],
        matching_lines[0][-200:] if matching_lines else "",
    )
