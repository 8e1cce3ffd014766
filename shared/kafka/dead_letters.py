"""Setting aside: what will never be readable is kept, byte for byte, with where it came from and why."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from aiokafka import ConsumerRecord

from shared.errors import Unreadable
from shared.kafka.producer import Message
from shared.topics import dead_letters

ERROR = "attune-error"
ORIGIN = "attune-origin"
SET_ASIDE_AT = "attune-set-aside-at"
LEFT_OUT = "attune-left-out"

LARGEST_LETTER = 900_000
"""Bytes; with our own headers a little below the megabyte that Kafka takes by default."""


@dataclass(frozen=True)
class DeadLetter:
    """A message that cannot be read, and why."""

    record: ConsumerRecord
    error: Unreadable

    @property
    def origin(self) -> str:
        """Where it lies: topic/partition/offset. Set aside twice, it is the same letter."""
        return f"{self.record.topic}/{self.record.partition}/{self.record.offset}"


def to_message(letter: DeadLetter, consumer: str, now: datetime) -> Message:
    """The letter as it is put on the dead-letter topic of `consumer`, its own headers kept.

    What is too large for Kafka to take once more is left out, and its length and hash are said: topics are kept for
    good, so its bytes still lie at the origin.
    """
    record = letter.record
    ours = [
        (ERROR, str(letter.error).encode()),
        (ORIGIN, letter.origin.encode()),
        (SET_ASIDE_AT, now.isoformat().encode()),
    ]
    topic, own = dead_letters(consumer).name, [(name, value or b"") for name, value in record.headers]
    size = len(record.key or b"") + len(record.value or b"") + sum(len(name) + len(value) for name, value in own)
    if size <= LARGEST_LETTER:
        return Message(topic, record.key, record.value, [*own, *ours])
    digest = hashlib.sha256(record.value or b"").hexdigest()
    left_out = f"{size} bytes; those of the value have the SHA-256 {digest}"
    key = record.key if record.key and len(record.key) < LARGEST_LETTER // 2 else None
    return Message(topic, key, None, [*ours, (LEFT_OUT, left_out.encode())])
