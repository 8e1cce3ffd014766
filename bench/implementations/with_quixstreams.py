"""quixstreams: a sink that handles its batch at every checkpoint."""

import tempfile
from typing import Any

from quixstreams import Application
from quixstreams.sinks import BaseSink

from bench.implementations import common
from bench.implementations.blocking import BlockingLoop, BlockingPublisher


class BatchSink(BaseSink):
    """Collects messages and handles them at the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self._loop, self._publisher = BlockingLoop(), BlockingPublisher()
        self._batch: list[bytes] = []

    def add(self, value: Any, *_metadata: Any, **_options: Any) -> None:
        self._batch.append(value)

    def flush(self) -> None:
        if self._batch:
            self._publisher.publish(self._loop.handle_batch(self._batch))
            self._batch = []

    def on_paused(self) -> None:
        self._batch = []


def main() -> None:
    app = Application(
        broker_address=common.BOOTSTRAP_SERVERS,
        consumer_group=common.GROUP,
        auto_offset_reset="earliest",
        commit_every=common.BATCH_SIZE,
        commit_interval=1.0,
        auto_create_topics=False,
        state_dir=tempfile.mkdtemp(),
        loglevel="ERROR",
    )
    sink = BatchSink()
    for name in common.TOPICS:
        app.dataframe(app.topic(name, key_deserializer="bytes", value_deserializer="bytes")).sink(sink)
    app.run()


if __name__ == "__main__":
    main()
