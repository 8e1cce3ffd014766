"""Partitions that stand still: each at an event that can be neither handled nor dead-lettered."""

import time
from collections import Counter
from collections.abc import Collection, Mapping

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.kafka.dead_letters.record import DeadLetter
from shared.kafka.metrics import KafkaMetrics

log = structlog.get_logger()


class StalledPartitions:
    """Where each stands still. Readiness is red meanwhile, and an alert fires; the other partitions go on."""

    def __init__(self, metrics: KafkaMetrics, retry_seconds: float) -> None:
        self._metrics = metrics
        self._retry_seconds = retry_seconds
        self._offsets: dict[TopicPartition, int] = {}
        self._newly_stalled: set[TopicPartition] = set()
        self._retry_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._offsets)

    def update(self, handled: Collection[TopicPartition], stalled: Mapping[TopicPartition, DeadLetter]) -> None:
        """After a batch with records of the partitions `handled`, of which `stalled` stand still."""
        if not stalled and not self._offsets:
            return
        for partition, dead_letter in stalled.items():
            if partition not in self._offsets:
                log.critical("Partition stalled", origin=str(dead_letter.origin), error=str(dead_letter.error))
        for partition in self._offsets.keys() & set(handled) - stalled.keys():
            log.info("Partition continues", partition=f"{partition.topic}/{partition.partition}")
        remaining = {p: offset for p, offset in self._offsets.items() if p not in handled}
        self._set({**remaining, **{p: dead_letter.record.offset for p, dead_letter in stalled.items()}})
        self._newly_stalled = set(stalled)

    def hold(self, consumer: AIOKafkaConsumer) -> None:
        """Go back to the event that cannot be handled, before the commit, and fetch nothing more until `retry`."""
        for partition in self._newly_stalled & consumer.assignment():
            consumer.seek(partition, self._offsets[partition])
            consumer.pause(partition)
            self._retry_at = time.monotonic() + self._retry_seconds
        self._newly_stalled.clear()

    def retry(self, consumer: AIOKafkaConsumer) -> None:
        """Let the partitions go on if it is time to try again, and forget those that are another member's now."""
        assigned = self._offsets.keys() & consumer.assignment()
        if assigned != self._offsets.keys():
            self._set({partition: self._offsets[partition] for partition in assigned})
        if assigned and time.monotonic() >= self._retry_at:
            consumer.resume(*assigned)
            self._retry_at = time.monotonic() + self._retry_seconds

    def _set(self, offsets: dict[TopicPartition, int]) -> None:
        topics = {partition.topic for partition in (*self._offsets, *offsets)}
        self._offsets = offsets
        counts = Counter(partition.topic for partition in offsets)
        self._metrics.set_stalled({topic: counts[topic] for topic in topics})
