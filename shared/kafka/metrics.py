"""Kafka metrics, the same in every service."""

from collections.abc import Iterable, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry

from shared.errors import DeadLetterCause
from shared.runtime.metric_specs import CounterSpec, GaugeSpec, HistogramSpec

BATCH_SECONDS = HistogramSpec(
    "attune_batch_seconds", "Time to handle a batch, from its arrival until its offsets may be committed."
)
BATCH_MESSAGES = HistogramSpec(
    "attune_batch_messages",
    "Messages in a batch.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000),
)
MESSAGES = CounterSpec("attune_messages", "Messages consumed from Kafka, whether or not they could be decoded.")
MESSAGES_SKIPPED = CounterSpec(
    "attune_messages_skipped", "Messages of a type that this service does not consume.", {"topic": None}
)
DEAD_LETTERS = CounterSpec(
    "attune_dead_letters",
    "Messages dead-lettered because they cannot be decoded or handled, by the topic they came from and the cause.",
    {"topic": None, "cause": None},
)
DEAD_LETTERS_OPEN = GaugeSpec(
    "attune_dead_letters_open",
    "Dead letters of the service that are neither redriven nor discarded; every process shows the same number.",
    {"cause": None},
)
STALLED_PARTITIONS = GaugeSpec(
    "attune_stalled_partitions",
    "Partitions that stand still: too many of their events could not be handled to dead-letter another one.",
    {"topic": None},
)
BATCH_RETRIES = CounterSpec(
    "attune_batch_retries", "Batches that failed and were retried, by the name of the error.", {"error": None}
)
KAFKA_CONNECTED = GaugeSpec("attune_kafka_connected", "1 while Kafka answers and the required topics exist.")


class KafkaMetrics:
    """Metrics of consuming and publishing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._batch_seconds = BATCH_SECONDS.create(registry)
        self._batch_messages = BATCH_MESSAGES.create(registry)
        self._messages = MESSAGES.create(registry)
        self._skipped = MESSAGES_SKIPPED.create(registry)
        self._dead_letters = DEAD_LETTERS.create(registry)
        self._open_dead_letters = DEAD_LETTERS_OPEN.create(registry)
        self._stalled = STALLED_PARTITIONS.create(registry)
        self._retries = BATCH_RETRIES.create(registry)
        self.connected = KAFKA_CONNECTED.create(registry)

    def observe_batch(self, messages: int, seconds: float) -> None:
        self._messages.inc(messages)
        self._batch_seconds.observe(seconds)
        self._batch_messages.observe(messages)

    def count_skipped(self, topic: str) -> None:
        self._skipped.labels(topic).inc()

    def init_topics(self, topics: Iterable[str]) -> None:
        """Start all series at 0, so that the first dead letter shows as an increase."""
        for topic in topics:
            self._stalled.labels(topic)
            for cause in get_args(DeadLetterCause):
                self._dead_letters.labels(topic, cause)

    def count_dead_letter(self, topic: str, cause: DeadLetterCause) -> None:
        self._dead_letters.labels(topic, cause).inc()

    def set_open_dead_letters(self, by_cause: Mapping[str, int]) -> None:
        for cause in get_args(DeadLetterCause):
            self._open_dead_letters.labels(cause).set(by_cause.get(cause, 0))

    def set_stalled(self, partitions_by_topic: Mapping[str, int]) -> None:
        for topic, partitions in partitions_by_topic.items():
            self._stalled.labels(topic).set(partitions)

    def count_retry(self, error: str) -> None:
        self._retries.labels(error).inc()
