"""The command `dead-letters skip`: moves a stopped consumer past messages that block it."""

import argparse

from shared.kafka.dead_letters.skip import Skip, skip
from shared.kafka.producer import Producer
from shared.runtime.clock import now
from shared.runtime.commands import Subparsers
from shared.runtime.terminal import report


def add_skip_command(subparsers: Subparsers) -> None:
    """Add `skip` to the commands of `dead-letters`."""
    parser = subparsers.add_parser(
        "skip", help="move the stopped consumer past messages, and dead-letter them unhandled"
    )
    parser.add_argument("partition", metavar="TOPIC/PARTITION")
    parser.add_argument("offsets", metavar="FROM-TO", help="the first and the last offset to skip")
    parser.set_defaults(run_dead_letters=_run, usage_error=parser.error)


async def _run(args: argparse.Namespace, servers: str, consumer: str) -> int:
    try:
        skipped = Skip.parse(args.partition, args.offsets)
    except ValueError:
        args.usage_error("give TOPIC/PARTITION and FROM-TO, for instance clinic.feedback/3 812-1012")
    producer = Producer(servers, f"attune-{consumer}-skip")
    await producer.start()
    try:
        count = await skip(servers, consumer, skipped, producer, now)
    finally:
        await producer.stop()
    report(f"skipped {skipped}: {count} dead-lettered; {consumer} continues at {skipped.last + 1}")
    return 0
