"""Setting aside: what will never be readable is kept, byte for byte, with where it came from and why."""

from dataclasses import dataclass
from datetime import datetime

from aiokafka import ConsumerRecord

from shared.errors import Unreadable
from shared.kafka.producer import Message
from shared.topics import dead_letters

ERROR = "attune-error"
ORIGIN = "attune-origin"
SET_ASIDE_AT = "attune-set-aside-at"


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
    """The letter as it is put on the dead-letter topic of `consumer`, its own headers kept."""
    own = [(name, value or b"") for name, value in letter.record.headers]
    return Message(
        topic=dead_letters(consumer).name,
        key=letter.record.key,
        value=letter.record.value,
        headers=[
            *own,
            (ERROR, str(letter.error).encode()),
            (ORIGIN, letter.origin.encode()),
            (SET_ASIDE_AT, now.isoformat().encode()),
        ],
    )
