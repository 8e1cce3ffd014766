"""The system that is recorded: Kafka, MongoDB and one process of each service, each of which is killed on purpose."""

import asyncio
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from deploy.chaos.rig import Receiver
from deploy.local import kafka, mongod
from deploy.local.ports import free_ports
from deploy.local.process import LocalServer
from deploy.local.say import say
from deploy.local.stack import HOME, PARTITIONS, SERVICES, service
from deploy.local.watch import until
from deploy.simulation.receivers import Hook, Mail, mail_server, web_server
from pymongo import AsyncMongoClient
from shared.kafka.topics import TopicSettings, create

WITHIN = 90.0
"""Seconds in which each step must come about."""
RETRY_SECONDS = "5"


class NotRecorded(Exception):
    """A step of the recording did not come about; record again."""


async def wait_until(what: str, condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition. Raises NotRecorded."""
    if not await until(condition, WITHIN):
        raise NotRecorded(f"did not come about: {what}")
    say(f"  {what}")


class System:
    """Everything that runs."""

    def __init__(self, data: Path) -> None:
        broker, controller, database, self._mail_port, web, gone, busy, *ports = free_ports(7 + len(SERVICES))
        self._data = data
        self.kafka = kafka.server(data / "kafka", broker, controller, say=say)
        self.mongodb = mongod.server(data / "mongodb", database, say=say)
        self._ports = dict(zip(SERVICES, ports, strict=True))
        self._services: dict[str, LocalServer] = {}
        self.mails: list[Mail] = []
        self.hooks: list[Hook] = []
        self.mail = Receiver(lambda: mail_server(self._mail_port, self.mails))
        self.webhooks = f"http://127.0.0.1:{web}"
        self.gone = f"http://127.0.0.1:{gone}"
        """Where every webhook is refused for good."""
        self.busy = f"http://127.0.0.1:{busy}"
        """Where nobody answers a webhook."""
        self._web, self._gone = web, gone
        self.mongo: AsyncMongoClient[dict[str, Any]]

    @contextmanager
    def stores(self) -> Iterator[None]:
        """Kafka with its topics, MongoDB, and the receivers; kill everything afterwards."""
        with ExitStack() as ends:
            ends.enter_context(web_server(self._web, self.hooks))
            ends.enter_context(_refusing(self._gone))
            self.mail.take_up()
            ends.callback(self.mail.take_down)
            for server in (self.kafka, self.mongodb):
                ends.callback(server.kill)
                server.start()
            settings = TopicSettings(kafka_bootstrap_servers=self.kafka.address, kafka_partitions=PARTITIONS)
            asyncio.run(create(settings))
            ends.callback(self._kill_services)
            yield

    def _kill_services(self) -> None:
        for server in self._services.values():
            server.kill()

    @property
    def urls(self) -> dict[str, tuple[str]]:
        return {name: (f"http://127.0.0.1:{port}",) for name, port in self._ports.items()}

    def documents(self, service: str, collection: str) -> Any:
        """A collection of a service, as pymongo gives it."""
        return self.mongo[f"attune_{service}"][collection]

    async def start(self, name: str, *, without_kafka: bool = False, **more: str) -> None:
        """Start a service, with `more` settings; without Kafka it is never ready, and alive is enough."""
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.address,
            "MONGODB_URI": self.mongodb.address,
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self._mail_port),
            "DELIVERY_RETRY_SECONDS": RETRY_SECONDS,
            **more,
        }
        server = service(name, self._data / name, self._ports[name], settings, say=say)
        if without_kafka:
            server.answers = lambda: _answers(f"{self.urls[name][0]}/health/live")
        self._services[name] = server
        await asyncio.to_thread(server.start)

    async def kill(self, *names: str) -> None:
        """Kill services as a power cut would."""
        for name in names:
            await asyncio.to_thread(self._services[name].kill)

    async def end(self, name: str) -> None:
        """Ask a service to end, and wait until it has."""
        await asyncio.to_thread(self._services[name].stop)

    async def command(self, name: str, *arguments: str) -> None:
        """Run a command of a service. Raises NotRecorded."""
        environment = [f"KAFKA_BOOTSTRAP_SERVERS={self.kafka.address}", f"MONGODB_URI={self.mongodb.address}"]
        python = (sys.executable, "-m", f"services.{name}")
        process = await asyncio.create_subprocess_exec("env", *environment, *python, *arguments, cwd=HOME)
        if await process.wait():
            raise NotRecorded(f"{name} {' '.join(arguments)} failed")

    @asynccontextmanager
    async def silent_mail(self) -> AsyncIterator[None]:
        """A mail server that takes every connection and says nothing: whoever sends to it waits."""

        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(say_nothing, "127.0.0.1", self._mail_port):
            yield


@contextmanager
def _refusing(port: int) -> Iterator[None]:
    """A web server at which every webhook is gone."""

    class Refuse(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(410)
            self.end_headers()

        def log_message(self, *_line: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Refuse)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bool(answer.status == 200)
