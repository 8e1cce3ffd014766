"""quixstreams: a sink that is written whenever a checkpoint is due."""

import tempfile
from typing import Any

from quixstreams import Application
from quixstreams.sinks import BaseSink

from bench.implementations import common
from bench.implementations.blocking import Blocking, Teller


class Sink(BaseSink):
    """Collects until the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self._work, self._teller = Blocking(), Teller()
        self._collected: list[bytes] = []

    def add(self, value: Any, *_metadata: Any, **_options: Any) -> None:
        self._collected.append(value)

    def flush(self) -> None:
        if self._collected:
            self._teller.tell(self._work.take(self._collected))
            self._collected = []

    def on_paused(self) -> None:
        self._collected = []


def main() -> None:
    app = Application(
        broker_address=common.KAFKA,
        consumer_group=common.GROUP,
        auto_offset_reset="earliest",
        commit_every=common.BATCH,
        commit_interval=1.0,
        auto_create_topics=False,
        state_dir=tempfile.mkdtemp(),
        loglevel="ERROR",
    )
    sink = Sink()
    for name in common.TOPICS:
        app.dataframe(app.topic(name, key_deserializer="bytes", value_deserializer="bytes")).sink(sink)
    app.run()


if __name__ == "__main__":
    main()
