"""faststream's default subscriber: one message at a time, acknowledged after it is handled."""

import uvloop
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage

from bench.implementations import common
from bench.implementations.plain_loop import PlainLoop


async def _decode_raw(message: KafkaMessage) -> bytes:
    return message.body


async def serve() -> None:
    loop = PlainLoop()
    await loop.producer.start()
    broker = KafkaBroker(common.BOOTSTRAP_SERVERS, logger=None)

    @broker.subscriber(
        *common.TOPICS,
        group_id=common.GROUP,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        decoder=_decode_raw,
    )
    async def handle_message(message: bytes) -> None:
        await loop.handle_batch([message])

    await FastStream(broker, logger=None).run()


if __name__ == "__main__":
    uvloop.run(serve())
