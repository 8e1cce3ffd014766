"""The commands `rebuild` and `verify` of a service that derives a view from the topics.

Results go to standard output, progress and errors to standard error.
"""

import argparse
from collections.abc import Sequence
from functools import partial

from shared.events.topics import CONSUMED_TOPICS
from shared.kafka.event_reader import EventReader
from shared.kafka.group_offsets import Offsets, wait_until_caught_up
from shared.kafka.lost_records import list_lost_records
from shared.kafka.producer import Producer
from shared.mongo.client import Mongo
from shared.rebuild.job import RebuildJob
from shared.rebuild.rebuild import Rebuilder
from shared.rebuild.staging import StagingCollection
from shared.rebuild.verify import CATCH_UP_TIMEOUT_SECONDS, Verifier
from shared.rebuild.view import CreateView, View, ViewResources, ViewSource
from shared.runtime import terminal
from shared.runtime.commands import Subparsers
from shared.runtime.settings import ServiceSettings
from shared.runtime.terminal import CommandError, report, show_progress

COMMANDS = ("rebuild", "verify")

_REBUILD_DESCRIPTION = (
    "Rebuild the view from the topics while the service runs. Start one process per core; start it again if a process "
    "was stopped. What was published before is published again only under the same id. A rebuild that would take an "
    "open alert from its clinician names it and stops. Exit code: 0 when the rebuild is finished, 1 if it stopped for "
    "that reason, if Kafka or MongoDB is unavailable, or if other processes must finish first."
)
_VERIFY_DESCRIPTION = (
    "Compare the view with the topics while the service runs, and print the differences. Exit code: 0 if everything "
    "was compared and nothing differs, 1 if something differs or if Kafka or MongoDB is unavailable, 3 if no "
    "difference was found but not everything could be compared. A line for each reason says what was not compared."
)
NOT_EVERYTHING_COMPARED = 3
"""The exit code of `verify`; 2 means wrong arguments."""


def add_commands(subparsers: Subparsers) -> None:
    """Add `rebuild` and `verify` to the commands of a service."""
    rebuild_parser = subparsers.add_parser(
        "rebuild", help="rebuild the view from the topics while the service runs", description=_REBUILD_DESCRIPTION
    )
    rebuild_parser.add_argument(
        "--restart", action="store_true", help="abandon an unfinished rebuild and start a new one"
    )
    rebuild_parser.add_argument(
        "--accept-losses", action="store_true", help="go on although open alerts are taken from their clinicians"
    )
    verify_parser = subparsers.add_parser(
        "verify", help="compare the view with the topics and print the differences", description=_VERIFY_DESCRIPTION
    )
    verify_parser.add_argument(
        "--catch-up-seconds",
        type=int,
        default=CATCH_UP_TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="how long the service may take to catch up with one slice of the topics; %(default)s by default",
    )


def run(args: argparse.Namespace, settings: ServiceSettings, source: ViewSource, create_view: CreateView) -> int:
    """Run one of COMMANDS and return the exit code."""
    return terminal.run(args.command, _run(args, settings, source, create_view))


async def _run(args: argparse.Namespace, settings: ServiceSettings, source: ViewSource, create_view: CreateView) -> int:
    servers = settings.kafka_bootstrap_servers
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver)
    producer = Producer(servers, f"attune-{source.service}")
    try:
        if args.command == "rebuild" and args.restart:
            await RebuildJob(mongo).abandon()
            await StagingCollection(mongo[source.staging_collection]).clear()
        async with EventReader(servers, source.topics, source.event_types, source.service) as reader:
            message_counts = await reader.message_counts()
            if not sum(message_counts):
                raise CommandError(f"the topics on {servers} are empty; check KAFKA_BOOTSTRAP_SERVERS")
            resources = ViewResources(mongo, reader, producer.publish)
            if args.command == "verify":
                return await _verify(servers, source, reader, create_view(resources), args.catch_up_seconds)
            await producer.start()
            for loss in await list_lost_records(servers, source.topics, source.service):
                report(loss)
            await _rebuild(source, resources, create_view(resources), message_counts, args.accept_losses)
            for remark in await reader.list_unread():
                report(remark)
            return 0
    finally:
        await producer.stop()
        await mongo.close()


async def _rebuild(
    source: ViewSource, resources: ViewResources, view: View, message_counts: Sequence[int], accept_losses: bool
) -> None:
    job, staging = RebuildJob(resources.mongo), StagingCollection(resources.mongo[source.staging_collection])
    await view.create_indexes()
    await staging.create_indexes()
    await job.join(view.policy, message_counts)
    counts = await Rebuilder(view, resources.reader, staging, report, accept_losses).run(
        job, lambda phase, done, total: show_progress(f"rebuild, {phase}", done, total, "messages")
    )
    for label, count in sorted(counts.items()):
        report(f"{count} {label}")


async def _verify(
    servers: str, source: ViewSource, reader: EventReader, view: View, catch_up_timeout_seconds: float
) -> int:
    consumed_topics = [topic.name for topic in CONSUMED_TOPICS[source.service]]

    async def wait(partition: int, offsets: Offsets, timeout_seconds: float) -> bool:
        consumed_offsets = {topic: offsets[topic] for topic in consumed_topics}
        return await wait_until_caught_up(servers, source.service, partition, consumed_offsets, timeout_seconds)

    verifier = Verifier(view, reader, wait, report, catch_up_timeout_seconds)
    result = await verifier.run(partial(show_progress, "verify", unit="messages"))
    report(f"{result.compared} {view.subjects} compared, {result.different} different")
    remarks = [
        *result.list_remarks(),
        *await reader.list_unread(),
        *await list_lost_records(servers, source.topics, source.service),
        *view.list_remarks(),
    ]
    for remark in remarks:
        report(remark)
    return 1 if result.different else NOT_EVERYTHING_COMPARED if remarks else 0
