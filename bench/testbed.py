"""Where an implementation runs: a Kafka and a MongoDB that start every run with the same bytes."""

import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.workload import Network, create_workload, generate_messages, publish
from tools.sandbox.servers import kafka, mongod
from tools.sandbox.servers.kafka_inspector import create_topics
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import LocalServer


@dataclass(frozen=True, slots=True)
class Servers:
    """The two servers of a run, and the number of events to handle."""

    kafka: LocalServer
    mongodb: LocalServer
    event_count: int
    committed_count: int = 0
    """Events before these whose offsets were committed when the data was prepared."""


class Testbed:
    """Servers on data that is prepared once and copied for every run."""

    def __init__(self, work_dir: Path, network: Network, partitions: int, cache_gb: float) -> None:
        self._template_dir, self._run_dir = work_dir / "template", work_dir / "run"
        self._network = network
        self._partitions = partitions
        self._cache_gb = cache_gb
        self._ports = free_ports(3)
        self.event_count = self._committed_count = 0

    async def prepare(self) -> None:
        """Create the data that every run starts with."""
        with self._run_servers(self._template_dir) as (broker, database):
            create_topics(broker.address, self._partitions)
            self.event_count = await create_workload(self._network, broker.address, database.address)

    async def prepare_with(self, handle_past: Callable[[Servers], Awaitable[object]]) -> None:
        """Create the data by handling the past: what is stored of it is what the measured code itself stores."""
        with self._run_servers(self._template_dir) as (broker, database):
            create_topics(broker.address, self._partitions)
            past, coming = generate_messages(self._network)
            self._committed_count = await publish(broker.address, past)
            await handle_past(Servers(broker, database, self._committed_count))
            self.event_count = await publish(broker.address, coming)

    @contextmanager
    def start_servers(self) -> Iterator[Servers]:
        """Run both servers on a fresh copy of the data, which is deleted afterwards."""
        shutil.rmtree(self._run_dir, ignore_errors=True)
        shutil.copytree(self._template_dir, self._run_dir)
        try:
            with self._run_servers(self._run_dir) as (broker, database):
                yield Servers(broker, database, self.event_count, self._committed_count)
        finally:
            shutil.rmtree(self._run_dir, ignore_errors=True)

    def remove_template(self) -> None:
        """Delete the prepared data to free disk space."""
        shutil.rmtree(self._template_dir, ignore_errors=True)

    @contextmanager
    def _run_servers(self, data: Path) -> Iterator[tuple[LocalServer, LocalServer]]:
        broker, controller, database = self._ports
        with ExitStack() as exit_stack:
            yield (
                exit_stack.enter_context(kafka.kafka_server(data / "kafka", broker, controller, report=_discard)),
                exit_stack.enter_context(
                    mongod.mongodb_server(data / "mongodb", database, cache_gb=self._cache_gb, report=_discard)
                ),
            )


def _discard(_text: str) -> None:
    """Prints nothing: the figures of a run are its report."""
