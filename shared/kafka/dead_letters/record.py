"""Dead letters as Kafka records: messages that a consumer could not use, byte for byte, with origin and cause.

A dead letter is a record on the dead-letter topic of its consumer. When its message is redriven to its original topic,
or discarded, a second record with the same origin says so: the dead letter is resolved. Both records stay on the topic,
the first one without its message once that is past retention.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Self

from aiokafka import ConsumerRecord, TopicPartition

from shared.errors import DecodeError, HandlingError, Skipped
from shared.events.topics import dead_letter_topic
from shared.kafka.producer import Header, Message

CAUSE_HEADER = "attune-cause"
ERROR_HEADER = "attune-error"
ORIGIN_HEADER = "attune-origin"
DEAD_LETTERED_AT_HEADER = "attune-set-aside-at"
OMITTED_HEADER = "attune-left-out"
RESOLVED_AT_HEADER = "attune-settled-at"
RESOLUTION_HEADER = "attune-settled"
REDRIVEN_FROM_HEADER = "attune-redriven-from"
"""On a redriven message: its first origin. If it still cannot be decoded, its new dead letter shows this origin."""

MAX_DEAD_LETTER_BYTES = 900_000
"""With our own headers, a little less than the megabyte that Kafka accepts by default."""

ResolutionAction = Literal["redriven", "closed"]
"""The values on Kafka; people see `closed` as "discarded"."""

_DEAD_LETTER_HEADERS = {CAUSE_HEADER, ERROR_HEADER, ORIGIN_HEADER, DEAD_LETTERED_AT_HEADER, OMITTED_HEADER}


@dataclass(frozen=True, order=True, slots=True)
class Origin:
    """The position of a message. It identifies the dead letter, also if the message is dead-lettered twice."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The origin in a text topic/partition/offset. Raises ValueError."""
        topic, partition, offset = text.split("/")
        return cls(topic, int(partition), int(offset))


@dataclass(frozen=True)
class DeadLetter:
    """A message that cannot be decoded or handled, or was skipped, and why."""

    record: ConsumerRecord
    error: DecodeError | HandlingError | Skipped

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.record.topic, self.record.partition)

    @property
    def origin(self) -> Origin:
        return Origin(self.record.topic, self.record.partition, self.record.offset)


def dead_letter_message(dead_letter: DeadLetter, consumer: str, now: datetime) -> Message:
    """The message for the dead-letter topic of `consumer`, with the original headers.

    If it is too large for Kafka to accept again, the content is omitted and replaced by its size and hash. Topics are
    retained forever, so the content is still at the origin.
    """
    record = dead_letter.record
    dead_letter_headers = _headers(dead_letter.error.cause, str(dead_letter.error), dead_letter.origin, now)
    topic, original_headers = dead_letter_topic(consumer).name, list(record.headers)
    size = _message_size(record.key, record.value, original_headers)
    if size <= MAX_DEAD_LETTER_BYTES:
        return Message(
            topic, record.key, _non_null_value(record.key, record.value), [*original_headers, *dead_letter_headers]
        )
    key = record.key if record.key and len(record.key) < MAX_DEAD_LETTER_BYTES // 2 else None
    return Message(topic, key, _non_null_value(key, None), [*dead_letter_headers, _omitted_header(size, record.value)])


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a dead letter was resolved: its message was redriven or discarded."""

    action: ResolutionAction
    resolved_at: datetime


@dataclass(frozen=True)
class StoredDeadLetter:
    """A dead letter as read from its topic."""

    origin: Origin
    cause: str
    error: str
    dead_lettered_at: datetime
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    """The original headers of the message."""
    omitted: str | None = None
    """Size and hash of a message that was too large or is past retention. It is complete only at the origin."""
    resolution: Resolution | None = None
    """None while it is open."""

    @property
    def size(self) -> int:
        """The size of the message in bytes."""
        return int(self.omitted.split()[0]) if self.omitted else len(self.value or b"")

    def is_message(self, value: bytes | None) -> bool:
        """Whether `value` is that of the omitted message."""
        return self.omitted is None or self.omitted.endswith(hashlib.sha256(value or b"").hexdigest())

    @property
    def redriven_from(self) -> str | None:
        """The first origin of the message, if it was redriven before and still cannot be decoded."""
        return next((_decode_text(value) for name, value in self.headers if name == REDRIVEN_FROM_HEADER), None)


def parse_dead_letter(record: ConsumerRecord) -> StoredDeadLetter | None:
    """The dead letter in a record of a dead-letter topic; None if the record is something else."""
    headers = list(record.headers)
    fields: dict[str, str] = {}
    while headers and headers[-1][0] in _DEAD_LETTER_HEADERS:  # they were appended to the original headers
        name, value = headers.pop()
        fields.setdefault(name, _decode_text(value))
    try:
        origin, dead_lettered_at = (
            Origin.parse(fields[ORIGIN_HEADER]),
            datetime.fromisoformat(fields[DEAD_LETTERED_AT_HEADER]),
        )
    except (KeyError, ValueError):
        return None
    return StoredDeadLetter(
        origin=origin,
        cause=fields.get(CAUSE_HEADER, "unknown"),
        error=fields.get(ERROR_HEADER, ""),
        dead_lettered_at=dead_lettered_at,
        key=record.key,
        value=record.value,
        headers=headers,
        omitted=fields.get(OMITTED_HEADER),
    )


def emptied_message(dead_letter: StoredDeadLetter, consumer: str, partition: int) -> Message:
    """The dead letter without its message, for `partition` of the dead-letter topic of `consumer`."""
    headers = _headers(dead_letter.cause, dead_letter.error, dead_letter.origin, dead_letter.dead_lettered_at)
    size = _message_size(dead_letter.key, dead_letter.value, dead_letter.headers)
    headers.append(_omitted_header(size, dead_letter.value))
    return Message(dead_letter_topic(consumer).name, None, b"", headers, partition)


def repeated_message(record: ConsumerRecord) -> Message:
    """The message that appends a record to its own partition once more."""
    value = _non_null_value(record.key, record.value)
    return Message(record.topic, record.key, value, list(record.headers), record.partition)


def resolution_message(origin: Origin, action: ResolutionAction, consumer: str, now: datetime) -> Message:
    """The message for the dead-letter topic that marks the dead letter from `origin` as resolved."""
    headers = [(RESOLUTION_HEADER, action.encode()), (RESOLVED_AT_HEADER, now.isoformat().encode())]
    return Message(dead_letter_topic(consumer).name, str(origin).encode(), None, headers)


def parse_resolution(record: ConsumerRecord) -> tuple[Origin, Resolution] | None:
    """The origin and the resolution in a record of a dead-letter topic; None if the record is something else."""
    headers = {name: _decode_text(value) for name, value in record.headers}
    try:
        resolved_at, action = datetime.fromisoformat(headers[RESOLVED_AT_HEADER]), headers[RESOLUTION_HEADER]
        return Origin.parse(_decode_text(record.key)), Resolution(
            "redriven" if action == "redriven" else "closed", resolved_at
        )
    except (KeyError, ValueError):
        return None


def collect_dead_letters(records: Iterable[ConsumerRecord]) -> list[StoredDeadLetter]:
    """The dead letters in records of a dead-letter topic, in any order; each once, the latest last."""
    dead_letters: dict[Origin, StoredDeadLetter] = {}
    resolutions: dict[Origin, Resolution] = {}
    for record in records:
        if dead_letter := parse_dead_letter(record):
            dead_letters.setdefault(dead_letter.origin, dead_letter)
        elif parsed := parse_resolution(record):
            origin, resolution = parsed
            resolutions[origin] = max(
                resolution, resolutions.get(origin, resolution), key=lambda candidate: candidate.resolved_at
            )
    resolved = (
        replace(dead_letter, resolution=resolutions.get(origin)) for origin, dead_letter in dead_letters.items()
    )
    return sorted(resolved, key=lambda dead_letter: (dead_letter.dead_lettered_at, dead_letter.origin))


def redrive_message(dead_letter: StoredDeadLetter) -> Message:
    """The original message, byte for byte, for its original topic, with its first origin in a header."""
    marker = [] if dead_letter.redriven_from else [(REDRIVEN_FROM_HEADER, str(dead_letter.origin).encode())]
    origin = dead_letter.origin
    return Message(origin.topic, dead_letter.key, dead_letter.value, [*dead_letter.headers, *marker], origin.partition)


def _headers(cause: str, error: str, origin: Origin, dead_lettered_at: datetime) -> list[Header]:
    return [
        (CAUSE_HEADER, cause.encode()),
        (ERROR_HEADER, error.encode()),
        (ORIGIN_HEADER, str(origin).encode()),
        (DEAD_LETTERED_AT_HEADER, dead_lettered_at.isoformat().encode()),
    ]


def _message_size(key: bytes | None, value: bytes | None, headers: Iterable[Header]) -> int:
    """In bytes."""
    return len(key or b"") + len(value or b"") + sum(len(name) + len(content or b"") for name, content in headers)


def _omitted_header(size: int, value: bytes | None) -> Header:
    digest = hashlib.sha256(value or b"").hexdigest()
    return OMITTED_HEADER, f"{size} bytes; the SHA-256 of the value is {digest}".encode()


def _non_null_value(key: bytes | None, value: bytes | None) -> bytes | None:
    """The value, or an empty one if there is no key either: aiokafka sends no message without both."""
    return b"" if key is None and value is None else value


def _decode_text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
