"""The commands of notify that work on its whole view: what they say, and how they end.

They end with 0 when done, and with 1 when the database or Kafka does not allow it or when `verify` found a difference.
What they find goes to standard output, how far they are to standard error.
"""

import argparse
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial

from prometheus_client import CollectorRegistry

from services.notify.delivery import Deliver
from services.notify.metrics import Metrics
from services.notify.rebuild.rebuild import KINDS_READ, READ, Views
from services.notify.rebuild.staging import Shadow
from services.notify.rebuild.verify import Verify
from services.notify.settings import Settings
from services.notify.store import ALERTS, Deliveries, Store
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.producer import Producer
from shared.kafka.topic_reader import History
from shared.mongo.client import Mongo
from shared.outbox.relay import Outbox
from shared.rebuild.job import Work, rebuild
from shared.runtime import terminal
from shared.runtime.clock import now
from shared.runtime.commands import Commands
from shared.runtime.terminal import NotPossible, progress, say

NAMES = ("rebuild", "verify")
UNDER = "no policy"
"""The view of notify depends on none."""

Command = Callable[[argparse.Namespace, Settings, Mongo], Awaitable[int]]
"""Says what it found, and gives the exit code."""


def offer(subparsers: Commands) -> None:
    """Let them be asked for."""
    rebuild_parser = subparsers.add_parser(
        "rebuild",
        help="make the view again from the topics while the service runs; start it as often as there are cores, and "
        "again where one was ended. Channels and deliveries stay: nobody is told twice",
    )
    rebuild_parser.add_argument("--afresh", action="store_true", help="give up a rebuild that was begun and not ended")
    rebuild_parser.set_defaults(run=_rebuild)
    verify_parser = subparsers.add_parser(
        "verify", help="compare the view with the topics while the service runs, and print what differs"
    )
    verify_parser.set_defaults(run=_verify)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do what was asked for, and say how it ended."""
    return terminal.run(args.command, _with_database(args, settings))


async def _with_database(args: argparse.Namespace, settings: Settings) -> int:
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver)
    command: Command = args.run
    try:
        return await command(args, settings, mongo)
    finally:
        await mongo.close()


async def _rebuild(args: argparse.Namespace, settings: Settings, mongo: Mongo) -> int:
    servers, staging, job = settings.kafka_bootstrap_servers, Shadow(mongo), Work(mongo)
    store, planner = _alerting(settings, mongo)
    producer = Producer(servers, "attune-notify")
    if args.afresh:
        await job.give_up()
        await staging.forget_all()
    async with History(servers, READ, KINDS_READ) as reader:
        await producer.start()
        try:
            await store.prepare()
            await staging.prepare()
            await job.join(UNDER, _anything(await reader.sizes(), servers))
            rebuilder = Views(store, staging, planner, producer.tell, reader, say)
            counts = await rebuild(
                rebuilder,
                job,
                lambda phase, processed, total: progress(f"rebuild, {phase}", processed, total, "messages"),
            )
        finally:
            await producer.stop()
    for label, count in sorted(counts.items()):
        say(f"{count} {label}")
    return 0


def _alerting(settings: Settings, mongo: Mongo) -> tuple[Store, Deliver]:
    """To keep alerts and to owe messages about them; it is the service that publishes and sends."""
    registry = CollectorRegistry()
    kafka = Kafka(settings.kafka_bootstrap_servers, "notify", KafkaMetrics(registry), now)
    store = Store(mongo, Outbox(kafka, [mongo[ALERTS]], registry, now), now)
    planner = Deliver(
        store,
        Deliveries(mongo),
        {},
        Metrics(registry),
        now,
        inbox_of=str,
        fresh_within=timedelta(days=settings.notify_within_days),
        first_wait=timedelta(seconds=settings.delivery_retry_seconds),
        give_up_after=timedelta(days=settings.delivery_give_up_days),
        parallel=settings.delivery_parallel,
    )
    return store, planner


async def _verify(_args: argparse.Namespace, settings: Settings, mongo: Mongo) -> int:
    servers = settings.kafka_bootstrap_servers
    async with History(servers, READ, KINDS_READ) as reader:
        _anything(await reader.sizes(), servers)
        result = await Verify(servers, "notify", Shadow(mongo), reader, say)(
            partial(progress, "verify", what="messages")
        )
    say(f"{result.compared} relationships compared, {result.different} different")
    if result.on_its_way:
        say(f"{result.on_its_way} not compared: the service has not taken in yet all that was told of them")
    return 1 if result.different else 0


def _anything(sizes: Sequence[int], servers: str) -> Sequence[int]:
    if not sum(sizes):
        raise NotPossible(f"nothing lies on the topics of {servers}; is that the right Kafka?")
    return sizes
