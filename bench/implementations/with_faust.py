"""faust-streaming: an agent that handles batches of events."""

import sys
import tempfile
from typing import Any

import faust

from bench.implementations import common
from bench.implementations.plain_loop import PlainLoop

app = faust.App(
    common.GROUP,
    broker=f"kafka://{common.BOOTSTRAP_SERVERS}",
    consumer_auto_offset_reset="earliest",
    topic_disable_leader=True,
    topic_allow_declare=False,
    stream_buffer_maxsize=2 * common.BATCH_SIZE,
    web_enabled=False,
    datadir=tempfile.mkdtemp(),
)
topics = app.topic(*common.TOPICS, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


@app.agent(topics)
async def handle_stream(stream: Any) -> None:
    loop = PlainLoop()
    await loop.producer.start()
    async for messages in stream.take(common.BATCH_SIZE, within=0.2):
        await loop.handle_batch(messages)


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--loglevel", "error", "--without-web"]
    app.main()
