"""What is counted of Kafka, the same in every service."""

from collections.abc import Iterable, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.errors import Cause


class KafkaMetrics:
    """Consuming and publishing, in numbers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._batches = Histogram(
            "attune_batch_seconds",
            "Time from a batch's arrival to the moment its offsets may be committed.",
            registry=registry,
        )
        self._sizes = Histogram(
            "attune_batch_messages",
            "Messages in a batch.",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000),
            registry=registry,
        )
        self._records = Counter("attune_messages", "Messages taken from Kafka, readable or not.", registry=registry)
        self._skipped = Counter(
            "attune_messages_skipped",
            "Messages of a type that this service does not hear.",
            ["topic"],
            registry=registry,
        )
        self._set_aside = Counter(
            "attune_dead_letters",
            "Messages set aside because nobody can read them, by the topic they came from and the cause.",
            ["topic", "cause"],
            registry=registry,
        )
        self._open_letters = Gauge(
            "attune_dead_letters_open",
            "Messages on the service's dead-letter topic that were not sent back yet; every process says the same.",
            ["cause"],
            registry=registry,
        )
        self._tries = Counter(
            "attune_batch_retries",
            "Batches that failed and were tried again, by the name of the error.",
            ["error"],
            registry=registry,
        )
        self.connected = Gauge(
            "attune_kafka_connected", "1 while Kafka answers and its topics were found.", registry=registry
        )

    def took(self, messages: int, seconds: float) -> None:
        self._records.inc(messages)
        self._batches.observe(seconds)
        self._sizes.observe(messages)

    def skipped(self, topic: str) -> None:
        self._skipped.labels(topic).inc()

    def may_set_aside(self, topics: Iterable[str]) -> None:
        """From the start on, so that the first one is seen as a rise."""
        for topic in topics:
            for cause in get_args(Cause):
                self._set_aside.labels(topic, cause)

    def set_aside(self, topic: str, cause: Cause) -> None:
        self._set_aside.labels(topic, cause).inc()

    def open_letters(self, by_cause: Mapping[str, int]) -> None:
        for cause in get_args(Cause):
            self._open_letters.labels(cause).set(by_cause.get(cause, 0))

    def tried_again(self, error: str) -> None:
        self._tries.labels(error).inc()
