"""faststream's plain subscriber: one message at a time, acknowledged when it is done."""

import uvloop
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage

from bench.implementations import common
from bench.implementations.plain_loop import Plain


async def _as_it_came(message: KafkaMessage) -> bytes:
    return message.body


async def forever() -> None:
    loop = Plain()
    await loop.producer.start()
    broker = KafkaBroker(common.KAFKA, logger=None)

    @broker.subscriber(
        *common.TOPICS,
        group_id=common.GROUP,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        decoder=_as_it_came,
    )
    async def take(message: bytes) -> None:
        await loop.take([message])

    await FastStream(broker, logger=None).run()


if __name__ == "__main__":
    uvloop.run(forever())
