"""A consumer in a separate process that reports when it has received a batch, and never finishes it."""

import asyncio
import sys
from collections.abc import Sequence

from shared.events import Event
from shared.events.topics import Topic
from shared.kafka.producer import Producer
from tests.support.harness import ConsumerHarness


async def main(servers: str, topic: str, group: str) -> None:
    async def hang(_: Sequence[Event]) -> None:
        sys.stdout.write("handling\n")
        sys.stdout.flush()
        await asyncio.Event().wait()

    harness = ConsumerHarness(servers, Producer(servers, "test"), Topic(topic, "test"), group)
    async with harness.consumer(hang).run():
        await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
