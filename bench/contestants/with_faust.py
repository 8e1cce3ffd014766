"""faust-streaming: an agent that takes many events at once."""

import sys
import tempfile
from typing import Any

import faust

from bench.contestants import same
from bench.contestants.plain import Plain

app = faust.App(
    same.GROUP,
    broker=f"kafka://{same.KAFKA}",
    consumer_auto_offset_reset="earliest",
    topic_disable_leader=True,
    topic_allow_declare=False,
    stream_buffer_maxsize=2 * same.BATCH,
    web_enabled=False,
    datadir=tempfile.mkdtemp(),
)
heard = app.topic(*same.TOPICS, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


@app.agent(heard)
async def take(stream: Any) -> None:
    plain = Plain()
    await plain.producer.start()
    async for messages in stream.take(same.BATCH, within=0.2):
        await plain.take(messages)


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--loglevel", "error", "--without-web"]
    app.main()
