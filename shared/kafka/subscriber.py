"""The consumer loop: poll, handle, commit.

A batch is committed only when everything that follows from it is done.
Auto-commit is off because `create_broker` (broker.py) sets AckPolicy.MANUAL.

faststream subscribes, parses and calls the handler, but its own loop goes on to the next batch when a handler or a
commit fails, and has no public seam. So this file, and no other, uses two private parts of faststream:

- `BatchSubscriber._run_consume_loop`, which is overridden;
- `faststream.kafka.subscriber.factory.BatchSubscriber`, the class that `broker.subscriber(batch=True)` builds.

faststream is pinned below 0.8; tests/unit/shared/test_subscriber.py fails when a release changes either of them.
"""

import asyncio
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError
from faststream.kafka.subscriber import factory
from faststream.kafka.subscriber.usecase import BatchSubscriber

from shared.errors import ConsumerMisconfigured
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.poller import Poller, UnreadableRecord
from shared.kafka.stalled import StalledPartitions
from shared.runtime.backoff import MAX_DELAY_SECONDS

log = structlog.get_logger()

POLL_RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class ConsumerTimings:
    """How long a consumer waits for what.

    A partition changes hands only after the current batch is committed. So `retry_timeout_seconds` is shorter than
    `drain_timeout_seconds`, which is shorter than `rebalance_timeout_ms` and than the grace period in which Docker lets
    a container stop.
    """

    poll_timeout_ms: int = 40
    """A poll returns as soon as a record arrives; this is only how often the loop sees that it shall stop."""
    session_timeout_ms: int = 15_000
    heartbeat_interval_ms: int = 3_000
    retry_timeout_seconds: float = 20.0
    """A batch that keeps failing is polled again after so long, which tells the group that this member is alive."""
    max_retry_delay_seconds: float = MAX_DELAY_SECONDS
    stalled_retry_seconds: float = 30.0
    """How long a partition stands still before the event that cannot be handled is tried again."""
    drain_timeout_seconds: float = 25.0
    rebalance_timeout_ms: int = 30_000
    max_poll_interval_ms: int = 300_000
    """A member that does not poll for longer is not alive, and its group goes on without it."""


class CommittingSubscriber(BatchSubscriber):
    """The subscriber of faststream that handles one batch after the other, and commits each before the next."""

    timings: ConsumerTimings
    metrics: KafkaMetrics
    rebalances: "RebalanceListener"
    stalled: StalledPartitions
    last_progress_at: float
    """By the monotonic clock: the last poll as a settled member, or the last failed try to handle a batch."""
    leaving: "asyncio.Task[None] | None" = None
    """The consumer's way out of its group after it gave up."""

    async def _run_consume_loop(self, consumer: AIOKafkaConsumer) -> None:
        poller = Poller(consumer)
        try:
            while self.running:
                self.stalled.retry(consumer)
                batch = await self._poll(poller)
                if not batch:
                    continue
                try:
                    with self.lock, self.rebalances.batch_in_progress():  # stop() and a rebalance wait for the batch
                        await self.process_message(batch)
                        self.stalled.hold(consumer)
                        await self.commit(consumer)
                except ConsumerMisconfigured:
                    raise
                except asyncio.CancelledError:
                    if _is_cancelled_from_outside():
                        raise
                    log.exception("Batch handler was cancelled without a request, retrying")
                    _rewind(consumer, batch)
                except Exception:
                    # The handler or the commit has failed, and has logged why. A batch is never skipped, because the
                    # next commit would cover it: the next poll returns it again.
                    _rewind(consumer, batch)
        except ConsumerStoppedError:
            return  # by stop()
        except (ConsumerMisconfigured, UnreadableRecord) as error:
            await self._give_up(consumer, error)

    async def _poll(self, poller: Poller) -> tuple[ConsumerRecord, ...]:
        """The next batch; empty when there is none yet, or Kafka is away. Raises UnreadableRecord."""
        try:
            records = await poller.poll(self.timings.poll_timeout_ms, self.max_records or 1)
        except KafkaError as error:  # aiokafka reconnects by itself
            log.warning("Consumer poll failed, retrying", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(POLL_RETRY_SECONDS)
            return ()
        if self.rebalances.is_settled:
            self.report_progress()
        return tuple(chain.from_iterable(records.values()))

    async def commit(self, consumer: AIOKafkaConsumer) -> None:
        """Commit what was polled. Raises KafkaError: then the batch is polled again."""
        try:
            await consumer.commit()
        except KafkaError as error:
            self.metrics.count_retry(type(error).__name__)
            log.warning("Offset commit failed: the batch was handled and will be delivered again", error=str(error))
            raise

    async def _give_up(self, consumer: AIOKafkaConsumer, error: ConsumerMisconfigured | UnreadableRecord) -> None:
        """Leave the group without committing the batch. Liveness turns red; only an operator can help."""
        log.critical("Consumer stopped", reason=str(error))
        self.running = False
        self.leaving = asyncio.create_task(consumer.stop())
        await asyncio.shield(self.leaving)

    async def stop(self) -> None:
        """Stop as the library does, and let a consumer that is just leaving leave: it closes its connections last."""
        await super().stop()
        if self.leaving is not None:
            await self.leaving

    def report_progress(self) -> None:
        """Start the time again after which a loop without progress counts as dead."""
        self.last_progress_at = time.monotonic()

    def is_alive(self) -> bool:
        """Whether the loop runs and makes progress: a consumer that ended looks healthy from outside."""
        seconds = time.monotonic() - self.last_progress_at
        return self.running and seconds < self.timings.max_poll_interval_ms / 1000

    def is_settled(self) -> bool:
        """Whether this member has its assignment, which is empty if the group has more members than partitions."""
        return self.running and self.rebalances.is_settled


class RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Delays a rebalance until the current batch is committed, so that no other member handles it as well."""

    def __init__(self, drain_timeout_seconds: float) -> None:
        self.is_settled = False
        self._drain_timeout_seconds = drain_timeout_seconds
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def batch_in_progress(self) -> Iterator[None]:
        self._idle.clear()
        try:
            yield
        finally:
            self._idle.set()

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self.is_settled = False
        try:
            await asyncio.wait_for(self._idle.wait(), self._drain_timeout_seconds)
        except TimeoutError:
            log.warning("Partitions revoked before the current batch was committed", partitions=len(revoked))

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self.is_settled = True
        log.info("Partitions assigned", partitions=sorted(f"{p.topic}/{p.partition}" for p in assigned))


def create_subscriber(
    broker: Any,
    topics: Sequence[str],
    timings: ConsumerTimings,
    metrics: KafkaMetrics,
    stalled: StalledPartitions,
    **options: Any,
) -> CommittingSubscriber:
    """What `broker.subscriber(*topics, batch=True, **options)` gives, with this file's loop."""
    rebalances = RebalanceListener(timings.drain_timeout_seconds)
    with _factory_builds(CommittingSubscriber):
        subscriber: CommittingSubscriber = broker.subscriber(*topics, batch=True, listener=rebalances, **options)
    subscriber.timings = timings
    subscriber.metrics = metrics
    subscriber.rebalances = rebalances
    subscriber.stalled = stalled
    subscriber.report_progress()
    return subscriber


@contextmanager
def _factory_builds(subscriber_class: type[BatchSubscriber]) -> Iterator[None]:
    original = vars(factory)["BatchSubscriber"]
    setattr(factory, "BatchSubscriber", subscriber_class)  # noqa: B010 - mypy knows no attribute of this name
    try:
        yield
    finally:
        setattr(factory, "BatchSubscriber", original)  # noqa: B010


def _is_cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _rewind(consumer: AIOKafkaConsumer, batch: Sequence[ConsumerRecord]) -> None:
    """Have the next poll return the batch again, as far as its partitions are still assigned."""
    first_offsets: dict[TopicPartition, int] = {}
    for record in batch:
        first_offsets.setdefault(TopicPartition(record.topic, record.partition), record.offset)
    for partition in first_offsets.keys() & consumer.assignment():
        consumer.seek(partition, first_offsets[partition])
