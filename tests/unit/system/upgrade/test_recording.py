"""The recording can be shifted in time, and every deliberate defect changes it."""

import copy
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.system.upgrade import archive
from tests.system.upgrade.archive import FIXTURE, Recording
from tests.system.upgrade.defects import DEFECTS
from tests.system.upgrade.expectations import Expectations
from tests.system.upgrade.shift import FIRST, SIGNED, offset_to, shift

CENTURIES = timedelta(days=146_097)
"""The period of the Gregorian calendar."""
YEAR = re.compile(r"20\d\d-\d\d-\d\d")
SECONDS = range(1_600_000_000, 2_200_000_000)
"""Since 1970: from 2020 to 2039."""


@pytest.fixture(scope="module")
def recording() -> Recording:
    return archive.read(FIXTURE)


def leaves(value: Any) -> Iterator[Any]:
    """All leaves and field names in dicts, lists and JSON text."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from leaves(each)
    elif isinstance(value, bytes):
        yield from leaves(value.decode("utf-8", "replace"))
    elif isinstance(value, str) and value.startswith(("{", "[")):
        yield value
        try:
            yield from leaves(json.loads(value))
        except ValueError:
            return
    else:
        yield value


def content(recording: Recording) -> Iterator[Any]:
    """All values of a recording, except the timestamps of records and signed messages."""
    for records in recording.topics.values():
        yield from leaves([[record.key, record.value, record.headers] for record in records])
    for collections in recording.databases.values():
        yield from leaves([collection.documents for collection in collections.values()])
    yield from leaves([rows for name, rows in recording.rows.items() if name not in SIGNED])
    yield from leaves(recording.expected)


def test_every_time_in_the_recording_is_shifted(recording: Recording) -> None:
    shifted = shift(recording, CENTURIES)

    texts = [leaf for leaf in content(shifted) if isinstance(leaf, str) and YEAR.search(leaf)]
    dates = [leaf for leaf in content(shifted) if isinstance(leaf, datetime) and FIRST <= leaf < FIRST + CENTURIES]
    timestamps = [record.timestamp for records in shifted.topics.values() for record in records]

    assert texts == []
    assert dates == []
    assert min(timestamps) >= shifted.manifest.began_at.timestamp() * 1000


def test_no_time_in_the_recording_is_a_number(recording: Recording) -> None:
    numbers = [leaf for leaf in content(recording) if isinstance(leaf, int | float) and not isinstance(leaf, bool)]

    assert [number for number in numbers if int(number) in SECONDS or int(number / 1000) in SECONDS] == []


def test_a_date_of_1970_means_immediately_and_is_not_shifted(recording: Recording) -> None:
    def at_once(of: Recording) -> list[datetime]:
        return [leaf for leaf in content(of) if isinstance(leaf, datetime) and leaf < FIRST]

    assert at_once(recording) == at_once(shift(recording, CENTURIES)) == [datetime(1970, 1, 1, tzinfo=UTC)]


def test_a_recording_that_is_shifted_back_is_unchanged(recording: Recording) -> None:
    assert shift(shift(recording, CENTURIES), -CENTURIES) == recording


def test_a_recording_is_shifted_by_whole_seconds(recording: Recording) -> None:
    ended_at = recording.manifest.ended_at

    assert offset_to(recording, ended_at + timedelta(days=3, seconds=1.7)) == timedelta(days=3, seconds=1)
    with pytest.raises(ValueError, match="whole number of seconds"):
        shift(recording, timedelta(milliseconds=1))


def test_an_archive_contains_the_whole_recording(recording: Recording, tmp_path: Path) -> None:
    archive.write(recording, tmp_path / "copy.tar.xz")

    assert archive.read(tmp_path / "copy.tar.xz") == recording


def test_the_recording_has_every_kind_of_unfinished_work(recording: Recording) -> None:
    expected = Expectations.model_validate(recording.expected)

    assert {entry.service for entry in expected.outbox} == {"intake", "sessions", "notify"}
    assert len({delivery.why for delivery in expected.deliveries}) == 3
    assert {one.outcome for one in expected.failed} == {"refused", "failed"}
    assert all(expected.lag.values())
    assert {dead_letter.settled for dead_letter in expected.dead_letters} == {None, "redriven", "closed"}
    assert {s for a in expected.unchanged if a.status == "open" for s in a.severities} == {"watch", "concern", "urgent"}
    assert expected.lapses
    assert expected.awaited


@pytest.mark.parametrize("name", DEFECTS)
def test_every_defect_changes_the_recording(name: str, recording: Recording) -> None:
    damaged = copy.deepcopy(recording)
    DEFECTS[name](damaged)

    assert damaged != recording
