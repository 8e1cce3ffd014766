"""Where a lap is run: a Kafka and a MongoDB that begin it with the same bytes, whoever runs it."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.workload import Network, prepare
from tools.sandbox.servers import kafka, mongod
from tools.sandbox.servers.kafka_inspector import create_topics
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import LocalServer


@dataclass(frozen=True, slots=True)
class Servers:
    """The two servers of a lap, and what waits on the topics."""

    kafka: LocalServer
    mongodb: LocalServer
    facts: int


class Stage:
    """Servers on data that was prepared once and is copied for every lap."""

    def __init__(self, work_dir: Path, network: Network, partitions: int, cache_gb: float) -> None:
        self._template, self._lap = work_dir / "template", work_dir / "lap"
        self._network = network
        self._partitions = partitions
        self._cache_gb = cache_gb
        self._ports = free_ports(3)
        self.facts = 0

    async def prepare(self) -> None:
        """Make the data that every lap begins with."""
        with self._running(self._template) as (broker, database):
            create_topics(broker.address, self._partitions)
            self.facts = await prepare(self._network, broker.address, database.address)

    @contextmanager
    def lap(self) -> Iterator[Servers]:
        """Both servers on a fresh copy of the data, which is gone afterwards."""
        shutil.rmtree(self._lap, ignore_errors=True)
        shutil.copytree(self._template, self._lap)
        try:
            with self._running(self._lap) as (broker, database):
                yield Servers(broker, database, self.facts)
        finally:
            shutil.rmtree(self._lap, ignore_errors=True)

    def forget(self) -> None:
        """Make room."""
        shutil.rmtree(self._template, ignore_errors=True)

    @contextmanager
    def _running(self, data: Path) -> Iterator[tuple[LocalServer, LocalServer]]:
        broker, controller, database = self._ports
        with ExitStack() as exit_stack:
            yield (
                exit_stack.enter_context(kafka.server(data / "kafka", broker, controller, say=_nothing)),
                exit_stack.enter_context(
                    mongod.server(data / "mongodb", database, cache_gb=self._cache_gb, say=_nothing)
                ),
            )


def _nothing(_text: str) -> None:
    """A lap is told of by its figures."""
