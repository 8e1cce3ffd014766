"""faust-streaming: an agent that takes many events at once."""

import sys
import tempfile
from typing import Any

import faust

from bench.implementations import common
from bench.implementations.plain_loop import Plain

app = faust.App(
    common.GROUP,
    broker=f"kafka://{common.KAFKA}",
    consumer_auto_offset_reset="earliest",
    topic_disable_leader=True,
    topic_allow_declare=False,
    stream_buffer_maxsize=2 * common.BATCH,
    web_enabled=False,
    datadir=tempfile.mkdtemp(),
)
heard = app.topic(*common.TOPICS, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


@app.agent(heard)
async def take(stream: Any) -> None:
    loop = Plain()
    await loop.producer.start()
    async for messages in stream.take(common.BATCH, within=0.2):
        await loop.take(messages)


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--loglevel", "error", "--without-web"]
    app.main()
