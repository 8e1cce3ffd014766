"""The commands of notify that work on its whole view: `rebuild` and `verify`.

The exit code is 0 on success, and 1 when the database or Kafka is unavailable or when `verify` found a difference.
Results go to standard output, progress goes to standard error.
"""

import argparse
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial

from prometheus_client import CollectorRegistry

from services.notify.delivery import DeliveryWorker
from services.notify.metrics import Metrics
from services.notify.rebuild.rebuild import REBUILD_EVENTS, REBUILD_TOPICS, NotifyRebuilder
from services.notify.rebuild.staging import Staging
from services.notify.rebuild.verify import Verifier
from services.notify.settings import Settings
from services.notify.store import ALERTS, DeliveryStore, Store
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.producer import Producer
from shared.kafka.topic_reader import TopicReader
from shared.mongo.client import Mongo
from shared.outbox.relay import Outbox
from shared.rebuild.job import RebuildJob, rebuild
from shared.runtime import terminal
from shared.runtime.clock import now
from shared.runtime.commands import Subparsers
from shared.runtime.terminal import CommandError, report, show_progress

COMMANDS = ("rebuild", "verify")
NO_POLICY = "no policy"
"""The view of notify does not depend on a policy."""

Command = Callable[[argparse.Namespace, Settings, Mongo], Awaitable[int]]
"""Prints its result and returns the exit code."""


def add_commands(subparsers: Subparsers) -> None:
    """Add `rebuild` and `verify` to the command line."""
    rebuild_parser = subparsers.add_parser(
        "rebuild",
        help="rebuild the view from the topics while the service runs. Start one process per core; restart any that "
        "stopped. Channels and deliveries are kept, so no message is sent twice",
    )
    rebuild_parser.add_argument("--restart", action="store_true", help="abandon an unfinished rebuild and start again")
    rebuild_parser.set_defaults(run=_rebuild)
    verify_parser = subparsers.add_parser(
        "verify", help="compare the view with the topics while the service runs, and print the differences"
    )
    verify_parser.set_defaults(run=_verify)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Run the command and return the exit code."""
    return terminal.run(args.command, _run_with_database(args, settings))


async def _run_with_database(args: argparse.Namespace, settings: Settings) -> int:
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver)
    command: Command = args.run
    try:
        return await command(args, settings, mongo)
    finally:
        await mongo.close()


async def _rebuild(args: argparse.Namespace, settings: Settings, mongo: Mongo) -> int:
    servers, staging, job = settings.kafka_bootstrap_servers, Staging(mongo), RebuildJob(mongo)
    store, planner = _create_planner(settings, mongo)
    producer = Producer(servers, "attune-notify")
    if args.restart:
        await job.abandon()
        await staging.clear()
    async with TopicReader(servers, REBUILD_TOPICS, REBUILD_EVENTS) as reader:
        await producer.start()
        try:
            await store.create_indexes()
            await staging.create_indexes()
            await job.join(NO_POLICY, _require_messages(await reader.message_counts(), servers))
            rebuilder = NotifyRebuilder(store, staging, planner, producer.publish, reader, report)
            counts = await rebuild(
                rebuilder,
                job,
                lambda phase, processed, total: show_progress(f"rebuild, {phase}", processed, total, "messages"),
            )
        finally:
            await producer.stop()
    for label, count in sorted(counts.items()):
        report(f"{count} {label}")
    return 0


def _create_planner(settings: Settings, mongo: Mongo) -> tuple[Store, DeliveryWorker]:
    """For saving alerts and planning deliveries; the running service publishes and sends."""
    registry = CollectorRegistry()
    kafka = Kafka(settings.kafka_bootstrap_servers, "notify", KafkaMetrics(registry), now)
    store = Store(mongo, Outbox(kafka, [mongo[ALERTS]], registry, now), now)
    planner = DeliveryWorker(
        store,
        DeliveryStore(mongo),
        {},
        Metrics(registry),
        now,
        inbox_url=str,
        max_sign_age=timedelta(days=settings.notify_within_days),
        first_retry_wait=timedelta(seconds=settings.delivery_retry_seconds),
        give_up_after=timedelta(days=settings.delivery_give_up_days),
        concurrency=settings.delivery_parallel,
    )
    return store, planner


async def _verify(_args: argparse.Namespace, settings: Settings, mongo: Mongo) -> int:
    servers = settings.kafka_bootstrap_servers
    async with TopicReader(servers, REBUILD_TOPICS, REBUILD_EVENTS) as reader:
        _require_messages(await reader.message_counts(), servers)
        result = await Verifier(servers, "notify", Staging(mongo), reader, report)(
            partial(show_progress, "verify", unit="messages")
        )
    report(f"{result.compared} relationships compared, {result.different} different")
    if result.not_caught_up:
        report(f"{result.not_caught_up} not compared: the service has not yet consumed all their events")
    return 1 if result.different else 0


def _require_messages(sizes: Sequence[int], servers: str) -> Sequence[int]:
    if not sum(sizes):
        raise CommandError(f"the topics of {servers} are empty; is this the right Kafka?")
    return sizes
