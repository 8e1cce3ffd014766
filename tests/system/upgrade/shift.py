"""Shifts a recording in time: every time in it moves by the same offset, so that the recording ended now.

Times are record timestamps, BSON dates, and all ISO 8601 text: in events, in headers, in JSON that a document contains
as text or bytes, in the ledger. No id depends on a time (ids derive from other ids), no hash covers one, and no
document counts seconds since 1970; a test looks for exceptions. Two things do not move. Dates before 2000 are not
times of the recording: 1970 means "immediately". And received messages are signed together with their time.

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
    """The offset by which the recording must be shifted to end at `now`, in whole seconds."""
    return timedelta(seconds=(now - recording.manifest.ended_at) // timedelta(seconds=1))


def shift(recording: Recording, by: timedelta) -> Recording:
    """The shifted recording. Raises ValueError if `by` has a fraction of a second."""
    if by % timedelta(seconds=1):
        raise ValueError(f"the offset must be a whole number of seconds, not {by}")

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
    """The value with `leaf` applied to every leaf of its dicts and lists."""
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
    """Shift a time up to the second; the fraction and the zone after it do not change."""
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    return moment if at < FIRST else (at + by).replace(tzinfo=None).isoformat()
