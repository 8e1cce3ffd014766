"""Setting aside: what will never be readable is kept, byte for byte, with where it came from and why.

A letter is a record on the dead-letter topic of its consumer. When its message was sent back to where it came from, or
nobody wants it, a second record says so under the same origin: the letter is settled. It stays, as everything on a
topic does.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Self

from aiokafka import ConsumerRecord

from shared.errors import Unreadable
from shared.events.topics import dead_letters
from shared.kafka.producer import Header, Message

CAUSE = "attune-cause"
ERROR = "attune-error"
ORIGIN = "attune-origin"
SET_ASIDE_AT = "attune-set-aside-at"
LEFT_OUT = "attune-left-out"
SETTLED_AT = "attune-settled-at"
SETTLED = "attune-settled"
REDRIVEN_FROM = "attune-redriven-from"
"""On a message that was sent back: where it lay first. When nobody can read it still, its new letter names that."""

LARGEST_LETTER = 900_000
"""Bytes; with our own headers a little below the megabyte that Kafka takes by default."""

How = Literal["redriven", "closed"]

_OURS = {CAUSE, ERROR, ORIGIN, SET_ASIDE_AT, LEFT_OUT}


@dataclass(frozen=True, order=True, slots=True)
class Origin:
    """Where a message lies. Set aside twice, it is the same letter."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, told: str) -> Self:
        """From topic/partition/offset. Raises ValueError."""
        topic, partition, offset = told.split("/")
        return cls(topic, int(partition), int(offset))


@dataclass(frozen=True)
class DeadLetter:
    """A message that cannot be read, and why."""

    record: ConsumerRecord
    error: Unreadable

    @property
    def origin(self) -> Origin:
        return Origin(self.record.topic, self.record.partition, self.record.offset)


def to_message(dead_letter: DeadLetter, consumer: str, now: datetime) -> Message:
    """The letter as it is put on the dead-letter topic of `consumer`, its own headers kept.

    What is too large for Kafka to take once more is left out, and its length and hash are said: topics are kept for
    good, so its bytes still lie at the origin.
    """
    record = dead_letter.record
    dead_letter_headers = [
        (CAUSE, dead_letter.error.cause.encode()),
        (ERROR, str(dead_letter.error).encode()),
        (ORIGIN, str(dead_letter.origin).encode()),
        (SET_ASIDE_AT, now.isoformat().encode()),
    ]
    topic, original_headers = dead_letters(consumer).name, list(record.headers)
    size = (
        len(record.key or b"")
        + len(record.value or b"")
        + sum(len(name) + len(value or b"") for name, value in original_headers)
    )
    if size <= LARGEST_LETTER:
        return Message(
            topic, record.key, _something(record.key, record.value), [*original_headers, *dead_letter_headers]
        )
    digest = hashlib.sha256(record.value or b"").hexdigest()
    omitted = f"{size} bytes; those of the value have the SHA-256 {digest}"
    key = record.key if record.key and len(record.key) < LARGEST_LETTER // 2 else None
    return Message(topic, key, _something(key, None), [*dead_letter_headers, (LEFT_OUT, omitted.encode())])


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a letter: its message was sent back, or nobody wants it."""

    how: How
    at: datetime


@dataclass(frozen=True)
class Letter:
    """A message that was set aside, as its letter has it."""

    origin: Origin
    cause: str
    error: str
    set_aside_at: datetime
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    """Its own, as it came."""
    left_out: str | None = None
    """Where it was too large: how large, and its hash. Its key may, and its value and headers do lie at the origin."""
    settled: Settled | None = None
    """None while it is open."""

    @property
    def size(self) -> int:
        """In bytes."""
        return int(self.left_out.split()[0]) if self.left_out else len(self.value or b"")

    @property
    def came_back_from(self) -> str | None:
        """Where the message lay first, when it was sent back before and still cannot be read."""
        return next((_text(value) for name, value in self.headers if name == REDRIVEN_FROM), None)


def letter_in(record: ConsumerRecord) -> Letter | None:
    """The letter in a record of a dead-letter topic; none when it is something else."""
    headers = list(record.headers)
    fields: dict[str, str] = {}
    while headers and headers[-1][0] in _OURS:  # they were put behind its own
        name, value = headers.pop()
        fields.setdefault(name, _text(value))
    try:
        origin, dead_lettered_at = Origin.parse(fields[ORIGIN]), datetime.fromisoformat(fields[SET_ASIDE_AT])
    except (KeyError, ValueError):
        return None
    return Letter(
        origin=origin,
        cause=fields.get(CAUSE, "unknown"),
        error=fields.get(ERROR, ""),
        set_aside_at=dead_lettered_at,
        key=record.key,
        value=record.value,
        headers=headers,
        left_out=fields.get(LEFT_OUT),
    )


def settled(origin: Origin, how: How, consumer: str, now: datetime) -> Message:
    """That the letter from `origin` is settled: what is put on the dead-letter topic beside it."""
    headers = [(SETTLED, how.encode()), (SETTLED_AT, now.isoformat().encode())]
    return Message(dead_letters(consumer).name, str(origin).encode(), None, headers)


def settled_in(record: ConsumerRecord) -> tuple[Origin, Settled] | None:
    """Which letter such a record settles, and how; none when it is something else."""
    headers = {name: _text(value) for name, value in record.headers}
    try:
        resolved_at, action = datetime.fromisoformat(headers[SETTLED_AT]), headers[SETTLED]
        return Origin.parse(_text(record.key)), Settled("redriven" if action == "redriven" else "closed", resolved_at)
    except (KeyError, ValueError):
        return None


def letters_in(records: Iterable[ConsumerRecord]) -> list[Letter]:
    """The letters on a dead-letter topic, each once, the latest last; in whatever order its records are read."""
    letters: dict[Origin, Letter] = {}
    resolutions: dict[Origin, Settled] = {}
    for record in records:
        if dead_letter := letter_in(record):
            letters.setdefault(dead_letter.origin, dead_letter)
        elif parsed := settled_in(record):
            origin, resolution = parsed
            resolutions[origin] = max(
                resolution, resolutions.get(origin, resolution), key=lambda candidate: candidate.at
            )
    resolved = (replace(dead_letter, settled=resolutions.get(origin)) for origin, dead_letter in letters.items())
    return sorted(resolved, key=lambda dead_letter: (dead_letter.set_aside_at, dead_letter.origin))


def sent_back(dead_letter: Letter) -> Message:
    """The message as it is put back to where it came from: to the byte, with where it lay first."""
    marker = [] if dead_letter.came_back_from else [(REDRIVEN_FROM, str(dead_letter.origin).encode())]
    origin = dead_letter.origin
    return Message(origin.topic, dead_letter.key, dead_letter.value, [*dead_letter.headers, *marker], origin.partition)


def _something(key: bytes | None, value: bytes | None) -> bytes | None:
    """The value; aiokafka sends nothing that has neither key nor value, so an empty one stands for that."""
    return b"" if key is None and value is None else value


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
