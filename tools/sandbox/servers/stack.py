"""The whole of Attune on this machine: Kafka, MongoDB, an issuer, a front door, and a process of each service."""

import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from tools.sandbox.preflight import FRONT_DOOR_FOLDER, ISSUER_FOLDER
from tools.sandbox.servers import kafka, mongod
from tools.sandbox.servers.front_door import FrontDoor, create_front_door
from tools.sandbox.servers.issuer import LocalIssuer
from tools.sandbox.servers.issuer_configuration import IssuerConfiguration
from tools.sandbox.servers.kafka_inspector import create_topics
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import PROJECT_ROOT, LocalServer, Report

SERVICES = ("intake", "sessions", "alliance", "notify")
PARTITION_COUNT = 4  # enough for a few processes of each service, and quick to create


@dataclass(frozen=True)
class RunningStack:
    """The running servers and services, and their addresses."""

    bootstrap_servers: str
    mongodb_uri: str
    urls: Mapping[str, str]
    """The URL of the API of each service."""
    ops_urls: Mapping[str, str]
    """The URL of the ops listener of each service: health and metrics."""
    servers: Sequence[LocalServer]
    """Kafka and MongoDB, if they were started here, the issuer and the front door."""
    services: Sequence[LocalServer]
    startup_seconds: float
    """How long it took until all services were ready."""
    issuer: LocalIssuer | None = None
    """Where people sign in; None if it was not started here."""
    front_door: FrontDoor | None = None
    """Where browsers find all pages; None if it was not started here."""

    @property
    def process_urls(self) -> Mapping[str, Sequence[str]]:
        """The URLs of the processes of each service."""
        return {name: (url,) for name, url in self.urls.items()}

    @property
    def failed_servers(self) -> list[LocalServer]:
        """The servers and services that exited without being stopped."""
        return [server for server in (*self.servers, *self.services) if server.has_exited]

    @property
    def log_files(self) -> list[Path]:
        return [server.log_file for server in (*self.servers, *self.services)]


@dataclass(frozen=True)
class Entrance:
    """How browsers reach Attune: the ports of the front door and of the issuer, and who else may come in."""

    port: int
    issuer_port: int
    has_tls: bool = False
    lan_address: str | None = None


@contextmanager
def run_stack(
    data: Path,
    ports: Mapping[str, int],
    extra_settings: Mapping[str, str],
    *,
    java_options: Sequence[str] = (),
    ops_ports: Mapping[str, int] | None = None,
    entrance: Entrance | None = None,
    service_module: str | None = None,
    report: Report = print,
) -> Iterator[RunningStack]:
    """Start everything on `data`, with the services on `ports` and with `extra_settings`; stop it afterwards.

    What has no port listens on a free one. If there is a `service_module`, it runs the service that is named by its
    argument. A Kafka or MongoDB that the environment names is used instead of a local one. Raises RunError.
    """
    started_at = time.monotonic()
    servers, services = list[LocalServer](), list[LocalServer]()
    try:
        bootstrap_servers, mongodb_uri = _find_or_add_stores(data, servers, java_options, report)
        urls, entrance = _local_urls(ports), entrance or _find_entrance()
        front_door, issuer = _create_entrance(data, entrance, urls, report)
        servers += [issuer.server, front_door.server]
        _run_concurrently(_start, servers)
        _provide_topics(bootstrap_servers, report)
        settings = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers, "MONGODB_URI": mongodb_uri}
        settings |= {**_entrance_settings(front_door, issuer), **extra_settings}
        ops_ports = ops_ports or dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        for name, numbers in {name: (ports[name], ops_ports[name]) for name in SERVICES}.items():
            module = (service_module, name) if service_module else None
            services.append(service_process(name, data / name, *numbers, settings, module=module, report=report))
        _run_concurrently(_start, services)
        ops_urls, startup_seconds = _local_urls(ops_ports), time.monotonic() - started_at
        addresses = bootstrap_servers, mongodb_uri, urls, ops_urls
        yield RunningStack(*addresses, servers, services, startup_seconds, issuer, front_door)
    finally:
        _run_concurrently(LocalServer.stop, services)
        _run_concurrently(LocalServer.stop, servers)


def _local_urls(ports: Mapping[str, int]) -> dict[str, str]:
    return {name: f"http://127.0.0.1:{ports[name]}" for name in SERVICES}


def _find_entrance() -> Entrance:
    """An entrance on free ports."""
    front_door_port, issuer_port = free_ports(2)
    return Entrance(front_door_port, issuer_port)


def _find_or_add_stores(
    data: Path, servers: list[LocalServer], java_options: Sequence[str], report: Report
) -> tuple[str, str]:
    """The addresses of Kafka and MongoDB; a store that the environment does not name is added to `servers`."""
    bootstrap_servers, mongodb_uri = os.environ.get("KAFKA_BOOTSTRAP_SERVERS"), os.environ.get("MONGODB_URI")
    broker_port, controller_port, database_port = free_ports(3)
    if bootstrap_servers is None:
        broker = kafka.kafka_server(
            data / "kafka", broker_port, controller_port, java_options=java_options, report=report
        )
        servers.append(broker)
        bootstrap_servers = broker.address
    if mongodb_uri is None:
        database = mongod.mongodb_server(data / "mongodb", database_port, report=report)
        servers.append(database)
        mongodb_uri = database.address
    return bootstrap_servers, mongodb_uri


def _create_entrance(
    data: Path, entrance: Entrance, urls: Mapping[str, str], report: Report
) -> tuple[FrontDoor, LocalIssuer]:
    """The front door to the services at `urls`, and the issuer that sends people back to it. Raises RunError."""
    front_door = create_front_door(
        data / FRONT_DOOR_FOLDER,
        entrance.port,
        urls,
        has_tls=entrance.has_tls,
        lan_address=entrance.lan_address,
        report=report,
    )
    configuration = IssuerConfiguration(front_doors=(front_door.url,))
    return front_door, LocalIssuer(data / ISSUER_FOLDER, entrance.issuer_port, configuration, report=report)


def _entrance_settings(front_door: FrontDoor, issuer: LocalIssuer) -> dict[str, str]:
    """What the services must know of the front door and of the issuer."""
    lan_host = urlsplit(front_door.lan_url or "").hostname or ""
    return {"PUBLIC_URL": front_door.url, "ALLOWED_HOSTS": lan_host, **issuer.service_settings}


def _provide_topics(bootstrap_servers: str, report: Report) -> None:
    """Create the topics, or bring existing ones up to date. Raises RunError."""
    started_at = time.monotonic()
    create_topics(bootstrap_servers, PARTITION_COUNT)
    report(f"the topics were provided in {time.monotonic() - started_at:.1f} s")


def service_process(
    name: str,
    data: Path,
    port: int,
    ops_port: int,
    settings: Mapping[str, str],
    *,
    module: Sequence[str] | None = None,
    code_root: Path = PROJECT_ROOT,
    report: Report = print,
) -> LocalServer:
    """One process of a service, named after its data folder; it runs `module` with the code in `code_root`."""
    address = f"127.0.0.1:{port}"
    environment = {
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
        "OPS_PORT": str(ops_port),
        "MONGODB_DATABASE": f"attune_{name}",
        "PUBLIC_URL": f"http://{address}",
        "PYTHONPATH": str(code_root),
        **settings,
    }
    # The data path identifies an orphaned process. Without -P the code in the working directory would come first.
    python = (sys.executable, "-P", "-X", f"data={data.resolve()}")
    module_arguments = module or (f"services.{name}",)
    return LocalServer(
        name=data.name,
        address=address,
        command=["env", *(f"{key}={value}" for key, value in environment.items()), *python, "-m", *module_arguments],
        data=data.resolve(),
        port=port,
        is_ready=partial(_is_ready, f"http://127.0.0.1:{ops_port}/health/ready"),
        report=report,
    )


def _is_ready(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own address
        return bool(response.status == 200)


def _start(server: LocalServer) -> None:
    started_at = time.monotonic()
    server.start()
    server.report(f"{server.name} is ready after {time.monotonic() - started_at:.1f} s")


def _run_concurrently(action: Callable[[LocalServer], None], servers: Sequence[LocalServer]) -> None:
    """Run `action` for all servers concurrently; if one fails, or on an interrupt, kill all of them."""
    if not servers:
        return
    with ThreadPoolExecutor(len(servers)) as pool:
        futures = [pool.submit(action, server) for server in servers]
        try:
            for future in futures:
                future.result()
        except BaseException:
            for server in servers:
                server.kill()
            raise
