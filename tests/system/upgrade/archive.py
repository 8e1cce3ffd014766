"""The recording and its archive: one `.tar.xz` that the standard library and `bson` can read.

Nothing here knows the services. Topics are stored as records with key, value, headers and timestamp, databases as
BSON with their indexes, and the rest as rows of JSON. So the archive keeps its meaning whatever the code becomes.
"""

import base64
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions

Json: TypeAlias = Any
Document: TypeAlias = dict[str, Any]

FIXTURE = Path(__file__).with_name("recording.tar.xz")
CODEC: CodecOptions[Document] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD, tz_aware=True, tzinfo=UTC)


@dataclass(frozen=True)
class Record:
    """One Kafka record, byte for byte."""

    partition: int
    offset: int
    timestamp: int
    """Milliseconds since 1970."""
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True)
class Collection:
    """One MongoDB collection: its documents, and its indexes as `listIndexes` describes them."""

    documents: list[Document]
    indexes: list[Json] = field(default_factory=list)


@dataclass(frozen=True)
class Manifest:
    """Where and when the recording was made."""

    commit: str
    began_at: datetime
    ended_at: datetime
    """When the last service was killed."""
    partitions: int
    """The partition count of every topic."""
    webhooks: tuple[str, ...]
    """The base URLs of all webhooks."""


@dataclass(frozen=True)
class Recording:
    """Everything that was recorded."""

    manifest: Manifest
    topics: dict[str, list[Record]]
    """By topic, in the order of partitions and offsets."""
    groups: dict[str, dict[str, dict[int, int]]]
    """The committed offsets of each consumer group, by topic and partition."""
    databases: dict[str, dict[str, Collection]]
    rows: dict[str, list[Json]]
    """The ledger, the received messages, the undecodable records, the clinicians."""
    expected: Json
    """The expected result after loading (`expectations.py`)."""


def write(recording: Recording, path: Path) -> None:
    """Write the archive; the same recording always gives the same bytes."""
    with tarfile.open(path, "w:xz", preset=9) as archive:
        for name, content in sorted(_members(recording)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def read(path: Path) -> Recording:
    """Read the archive."""
    with tarfile.open(path, "r:xz") as archive:
        contents = {m.name: file.read() for m in archive if (file := archive.extractfile(m)) is not None}
    manifest = json.loads(contents["manifest.json"])
    return Recording(
        manifest=Manifest(
            commit=manifest["commit"],
            began_at=datetime.fromisoformat(manifest["began_at"]),
            ended_at=datetime.fromisoformat(manifest["ended_at"]),
            partitions=manifest["partitions"],
            webhooks=tuple(manifest["webhooks"]),
        ),
        topics={name: [_record(row) for row in rows] for name, rows in _rows(contents, "topics/")},
        groups={
            group: {topic: {int(p): offset for p, offset in offsets.items()} for topic, offsets in topics.items()}
            for group, topics in json.loads(contents["groups.json"]).items()
        },
        databases=_databases(contents),
        rows=dict(_rows(contents, "rows/")),
        expected=json.loads(contents["expected.json"]),
    )


def _members(recording: Recording) -> Iterator[tuple[str, bytes]]:
    manifest = recording.manifest
    times = {"began_at": manifest.began_at.isoformat(), "ended_at": manifest.ended_at.isoformat()}
    yield "manifest.json", _json({**vars(manifest), **times})
    yield "groups.json", _json(recording.groups)
    yield "expected.json", _json(recording.expected)
    for topic, records in recording.topics.items():
        yield f"topics/{topic}.jsonl", _lines(_row(record) for record in records)
    for name, rows in recording.rows.items():
        yield f"rows/{name}.jsonl", _lines(rows)
    for database, collections in recording.databases.items():
        for name, collection in collections.items():
            path = f"databases/{database}/{name}"
            yield f"{path}.bson", b"".join(bson.encode(d, codec_options=CODEC) for d in collection.documents)
            yield f"{path}.indexes.jsonl", _lines(collection.indexes)


def _databases(contents: dict[str, bytes]) -> dict[str, dict[str, Collection]]:
    found: dict[str, dict[str, Collection]] = {}
    for path, content in contents.items():
        if path.endswith(".bson"):
            _, database, file = path.split("/")
            name = file.removesuffix(".bson")
            indexes = _parsed(contents[path.removesuffix(".bson") + ".indexes.jsonl"])
            documents = list(bson.decode_file_iter(io.BytesIO(content), CODEC))
            found.setdefault(database, {})[name] = Collection(documents, indexes)
    return found


def _rows(contents: dict[str, bytes], folder: str) -> Iterator[tuple[str, list[Json]]]:
    for path, content in contents.items():
        if path.startswith(folder):
            yield path.removeprefix(folder).removesuffix(".jsonl"), _parsed(content)


def _row(record: Record) -> Json:
    headers = [[name, as_json(value)] for name, value in record.headers]
    return {**vars(record), "key": as_json(record.key), "value": as_json(record.value), "headers": headers}


def _record(row: Json) -> Record:
    headers = tuple((name, as_bytes(value)) for name, value in row["headers"])
    return Record(**{**row, "key": as_bytes(row["key"]), "value": as_bytes(row["value"]), "headers": headers})


def as_json(content: bytes | None) -> Json:
    """UTF-8 as text, so that it compresses well and is readable; other bytes as base64."""
    if content is None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def as_bytes(content: Json) -> bytes | None:
    """The inverse of `as_json`."""
    if isinstance(content, dict):
        return base64.b64decode(content["base64"])
    return None if content is None else str(content).encode()


def _json(content: Json) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _lines(rows: Iterable[Json]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _parsed(content: bytes) -> list[Json]:
    return [json.loads(line) for line in content.decode().split("\n") if line]
