"""Decoding a record: one rule for consumers, `verify` and `rebuild`, so that all agree about which events there are.

An event that is dated far ahead of its arrival is not accepted. It arrived when Kafka appended its record: the topics
stamp on append (`message.timestamp.type=LogAppendTime`), so whoever reads the record, and whenever, judges it alike.

Records that were appended before the topics did so carry their senders' timestamps, which say nothing reliable. A
consumer judges these by its clock, once, and dead-letters what it does not accept. Whoever reads them later follows the
dead letters.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from aiokafka import ConsumerRecord

from shared.errors import DecodeError
from shared.events import EventT
from shared.events.cloudevents import decode

FUTURE_TOLERANCE = timedelta(days=1)
"""How long after its arrival an event may have occurred; beyond that its sender's clock is wrong."""

_LOG_APPEND_TIME = 1
"""The type of a timestamp that Kafka set, in the protocol of Kafka."""


def decode_record(record: ConsumerRecord, event_types: Mapping[str, type[EventT]], now: datetime) -> EventT | None:
    """The event; None if it is of no type in `event_types`. Raises DecodeError, also if it is in the future.

    `now` is the reader's clock; it counts only for a record that Kafka did not stamp.
    """
    event = decode(record.value, event_types)
    if event is not None and event.occurred_at > arrived_at(record, now) + FUTURE_TOLERANCE:
        raise DecodeError("future", "time: is in the future")
    return event


def arrived_at(record: ConsumerRecord, now: datetime) -> datetime:
    """When Kafka appended the record; `now` if Kafka did not stamp it."""
    if record.timestamp_type != _LOG_APPEND_TIME:
        return now
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)
