"""What the consumer loop relies on in faststream, and what a batch handler is given, without a broker."""

from collections.abc import Sequence
from importlib.metadata import version

from faststream.kafka import KafkaBroker, TestKafkaBroker
from faststream.kafka.subscriber import factory
from faststream.kafka.subscriber.usecase import BatchSubscriber, LogicSubscriber
from prometheus_client import CollectorRegistry

from shared.events import Event, SessionCompleted
from shared.events.cloudevents import encode
from shared.events.topics import SESSIONS
from shared.kafka.broker import Subscription, create_broker
from shared.kafka.consumer import Consumer
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.producer import Producer
from shared.kafka.stalled import StalledPartitions
from shared.kafka.subscriber import CommittingSubscriber
from shared.runtime.clock import now
from tests.support.harness import completed_sessions

SUBSCRIPTION = Subscription("kafka.invalid:9092", "test", [SESSIONS], (SessionCompleted,), batch_size=10)


def test_faststream_is_the_release_whose_private_parts_are_known() -> None:
    assert version("faststream").startswith("0.7.")


def test_faststream_runs_the_loop_that_is_overridden() -> None:
    assert "_run_consume_loop" in vars(LogicSubscriber)
    assert "_run_consume_loop" in LogicSubscriber.start.__code__.co_names


def test_a_batch_subscriber_is_built_by_this_project_and_only_by_it() -> None:
    metrics = KafkaMetrics(CollectorRegistry())
    _, subscriber = create_broker(SUBSCRIPTION, metrics, StalledPartitions(metrics, 30))

    assert isinstance(subscriber, CommittingSubscriber)
    assert vars(factory)["BatchSubscriber"] is BatchSubscriber
    assert type(KafkaBroker().subscriber("another", batch=True)) is BatchSubscriber


async def test_a_handler_is_given_the_decoded_events_of_a_batch() -> None:
    handled: list[Event] = []

    async def handle_batch(events: Sequence[Event]) -> None:
        handled.extend(events)

    metrics = KafkaMetrics(CollectorRegistry())
    consumer = Consumer(SUBSCRIPTION, handle_batch, Producer("kafka.invalid:9092", "test"), metrics, now)
    broker, subscriber = create_broker(SUBSCRIPTION, metrics, StalledPartitions(metrics, 30))
    subscriber(consumer.handle_batch)
    events = completed_sessions(3)

    async with TestKafkaBroker(broker) as test_broker:
        await test_broker.publish_batch(*map(encode, events), topic=SESSIONS.name)

    assert handled == events
