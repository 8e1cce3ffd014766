"""Kafka metrics, the same in every service."""

from collections.abc import Iterable, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.errors import DecodeErrorCause


class KafkaMetrics:
    """Metrics of consuming and publishing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._batch_seconds = Histogram(
            "attune_batch_seconds",
            "Time to handle a batch, from its arrival until its offsets may be committed.",
            registry=registry,
        )
        self._batch_messages = Histogram(
            "attune_batch_messages",
            "Messages in a batch.",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000),
            registry=registry,
        )
        self._messages = Counter(
            "attune_messages", "Messages consumed from Kafka, whether or not they could be decoded.", registry=registry
        )
        self._skipped = Counter(
            "attune_messages_skipped",
            "Messages of a type that this service does not consume.",
            ["topic"],
            registry=registry,
        )
        self._dead_letters = Counter(
            "attune_dead_letters",
            "Messages dead-lettered because they cannot be decoded, by the topic they came from and the cause.",
            ["topic", "cause"],
            registry=registry,
        )
        self._open_dead_letters = Gauge(
            "attune_dead_letters_open",
            "Dead letters of the service that are neither redriven nor discarded; every process shows the same number.",
            ["cause"],
            registry=registry,
        )
        self._retries = Counter(
            "attune_batch_retries",
            "Batches that failed and were retried, by the name of the error.",
            ["error"],
            registry=registry,
        )
        self.connected = Gauge(
            "attune_kafka_connected", "1 while Kafka answers and the required topics exist.", registry=registry
        )

    def observe_batch(self, messages: int, seconds: float) -> None:
        self._messages.inc(messages)
        self._batch_seconds.observe(seconds)
        self._batch_messages.observe(messages)

    def count_skipped(self, topic: str) -> None:
        self._skipped.labels(topic).inc()

    def init_dead_letters(self, topics: Iterable[str]) -> None:
        """Start all series at 0, so that the first dead letter shows as an increase."""
        for topic in topics:
            for cause in get_args(DecodeErrorCause):
                self._dead_letters.labels(topic, cause)

    def count_dead_letter(self, topic: str, cause: DecodeErrorCause) -> None:
        self._dead_letters.labels(topic, cause).inc()

    def set_open_dead_letters(self, by_cause: Mapping[str, int]) -> None:
        for cause in get_args(DecodeErrorCause):
            self._open_dead_letters.labels(cause).set(by_cause.get(cause, 0))

    def count_retry(self, error: str) -> None:
        self._retries.labels(error).inc()
