"""Shifts a recording in time: every time in it, by the same offset, so that the recording ended now.

Times are record timestamps, BSON dates, and ISO 8601 text wherever it stands: in events, in headers, in JSON that a
document holds as text or as bytes, in the ledger. No id depends on a time (ids derive from other ids), no hash covers
one, and no document counts seconds since 1970; a test looks for exceptions. Two things stay where they are. A date
before 2000 is none of the recording's: 1970 stands for "at once". And the messages that receivers got are signed
together with their time, so they are left as they arrived.

The offset is a whole number of seconds, because the text of a time must keep its form: services compare bytes.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from tests.system.upgrade.archive import Collection, Record, Recording

FIRST = datetime(2000, 1, 1, tzinfo=UTC)
SIGNED = ("mails", "hooks")
"""Rows that are not shifted."""
MILLISECOND = timedelta(milliseconds=1)

_TEXT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_BYTES = re.compile(_TEXT.pattern.encode())

Value = TypeVar("Value")


def offset_to(recording: Recording, now: datetime) -> timedelta:
    """By how much to shift the recording so that it ended at `now`, to the second."""
    return timedelta(seconds=(now - recording.manifest.ended_at) // timedelta(seconds=1))


def shift(recording: Recording, by: timedelta) -> Recording:
    """The recording, shifted. Raises ValueError where `by` has a fraction of a second."""
    if by % timedelta(seconds=1):
        raise ValueError(f"the offset must be a whole number of seconds, and is {by}")

    def shifted(value: Value) -> Value:
        return cast("Value", map_leaves(value, lambda leaf: _shifted(leaf, by)))

    manifest = recording.manifest
    return replace(
        recording,
        manifest=replace(manifest, began_at=manifest.began_at + by, ended_at=manifest.ended_at + by),
        topics={name: [_shifted_record(record, by) for record in of] for name, of in recording.topics.items()},
        databases={
            name: {c: Collection(shifted(of.documents), of.indexes) for c, of in collections.items()}
            for name, collections in recording.databases.items()
        },
        rows={name: rows if name in SIGNED else shifted(rows) for name, rows in recording.rows.items()},
        expected=shifted(recording.expected),
    )


def map_leaves(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """The value with every leaf of its dicts and lists changed."""
    if isinstance(value, dict):
        return {name: map_leaves(of, leaf) for name, of in value.items()}
    if isinstance(value, list):
        return [map_leaves(each, leaf) for each in value]
    return leaf(value)


def _shifted_record(record: Record, by: timedelta) -> Record:
    return replace(
        record,
        timestamp=record.timestamp + by // MILLISECOND,
        key=_shifted(record.key, by),
        value=_shifted(record.value, by),
        headers=tuple((name, _shifted(value, by)) for name, value in record.headers),
    )


def _shifted(leaf: Any, by: timedelta) -> Any:
    if isinstance(leaf, datetime):
        return leaf if leaf < FIRST else leaf + by
    if isinstance(leaf, str):
        return _TEXT.sub(lambda found: _shifted_text(found[0], by), leaf)
    if isinstance(leaf, bytes):
        return _BYTES.sub(lambda found: _shifted_text(found[0].decode(), by).encode(), leaf)
    return leaf


def _shifted_text(moment: str, by: timedelta) -> str:
    """To the second; a fraction and a zone stand behind it, and stay as they are."""
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    return moment if at < FIRST else (at + by).replace(tzinfo=None).isoformat()
