"""The whole of Attune on this machine: Kafka, MongoDB, the topics, and the four services as processes of their own."""

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

from tools.sandbox.servers import kafka, mongod
from tools.sandbox.servers.kafka_inspector import create_topics
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import HOME, LocalServer, Say

SERVICES = ("intake", "sessions", "alliance", "notify")
PARTITIONS = 4  # enough for one process of each service, and quick to make


@dataclass(frozen=True)
class Stack:
    """Everything that runs, and where."""

    kafka: str
    mongodb: str
    urls: Mapping[str, str]
    """Of each service."""
    servers: Sequence[LocalServer]
    """Kafka and MongoDB, unless they are somebody else's."""
    services: Sequence[LocalServer]
    seconds: float
    """How long it took to start."""

    @property
    def processes(self) -> Mapping[str, Sequence[str]]:
        """Where each process of each service is."""
        return {name: (url,) for name, url in self.urls.items()}

    @property
    def ended(self) -> list[LocalServer]:
        """What ended though nobody asked it to."""
        return [server for server in (*self.servers, *self.services) if server.has_ended]

    @property
    def logs(self) -> list[Path]:
        return [server.log for server in (*self.servers, *self.services)]


@contextmanager
def stack(data: Path, ports: Mapping[str, int], more: Mapping[str, str], *, say: Say = print) -> Iterator[Stack]:
    """Start everything on `data`, the services at `ports` and with `more` settings; end it all afterwards.

    A Kafka or a MongoDB that the environment names is used in place of one of our own. Raises CannotRun.
    """
    started_at = time.monotonic()
    servers: list[LocalServer] = []
    services: list[LocalServer] = []
    try:
        bootstrap_servers, mongodb_uri = _stores(data, servers, say)
        _together(LocalServer.start, servers)
        bootstrap_servers, mongodb_uri = bootstrap_servers or servers[0].address, mongodb_uri or servers[-1].address
        create_topics(bootstrap_servers, PARTITIONS)
        settings = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers, "MONGODB_URI": mongodb_uri, **more}
        services += [service(name, data / name, ports[name], settings, say=say) for name in SERVICES]
        _together(LocalServer.start, services)
        urls = {name: f"http://{process.address}" for name, process in zip(SERVICES, services, strict=True)}
        yield Stack(bootstrap_servers, mongodb_uri, urls, servers, services, time.monotonic() - started_at)
    finally:
        _together(LocalServer.stop, services)
        _together(LocalServer.stop, servers)


def _stores(data: Path, servers: list[LocalServer], say: Say) -> tuple[str | None, str | None]:
    """Those of the environment; what it does not name is added to `servers`."""
    bootstrap_servers, mongodb_uri = os.environ.get("KAFKA_BOOTSTRAP_SERVERS"), os.environ.get("MONGODB_URI")
    broker_port, controller_port, database_port = free_ports(3)
    if bootstrap_servers is None:
        servers.append(kafka.server(data / "kafka", broker_port, controller_port, say=say))
    if mongodb_uri is None:
        servers.append(mongod.server(data / "mongodb", database_port, say=say))
    return bootstrap_servers, mongodb_uri


def service(
    name: str,
    data: Path,
    port: int,
    settings: Mapping[str, str],
    *,
    module: Sequence[str] | None = None,
    home: Path = HOME,
    say: Say = print,
) -> LocalServer:
    """One process of a service, kept under its folder's name; with the code at `home`, or by another `module`."""
    address = f"127.0.0.1:{port}"
    environment = {
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
        "MONGODB_DATABASE": f"attune_{name}",
        "PUBLIC_URL": f"http://{address}",
        "PYTHONPATH": str(home),
        **settings,
    }
    # By its data a left-over process is known; without -P the code of the working directory would come first.
    python = (sys.executable, "-P", "-X", f"data={data.resolve()}")
    module_arguments = module or (f"services.{name}",)
    return LocalServer(
        name=data.name,
        address=address,
        command=["env", *(f"{key}={value}" for key, value in environment.items()), *python, "-m", *module_arguments],
        data=data.resolve(),
        port=port,
        answers=partial(_is_ready, f"http://{address}/health/ready"),
        say=say,
    )


def _is_ready(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own address
        return bool(response.status == 200)


def _together(action: Callable[[LocalServer], None], servers: Sequence[LocalServer]) -> None:
    """Do it to all at once; where one fails, or we are told to stop, the others are ended."""
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
