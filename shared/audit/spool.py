"""The spool: a local file to which the lines of reads are written before they are answered.

A line is given to the operating system at once, so that it survives the death of the process (`kill -9`), and synced to
the disk in groups, so that a loss of power takes the last half second. `Spool.load` closes the file and gives its lines
to be chained; the file is removed when all are. If the process dies in between, the next one finds the file and chains
its lines again, which changes nothing.

Several processes may share a folder: each locks its files, and takes over those of a process that died.
"""

import asyncio
import fcntl
import os
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import structlog

from shared.audit.line import AuditLine, canonical_bytes, parse_line
from shared.errors import Transient

log = structlog.get_logger()

MAX_FILE_BYTES = 100_000
"""Some 200 lines: reading them and chaining them keeps the event loop busy for a few milliseconds."""
SUFFIX, NEW_SUFFIX = ".lines", ".new"


class SpoolUnavailable(Transient):
    """The line cannot be written to the disk. What it is about must not be answered."""


@dataclass(frozen=True)
class _OpenFile:
    """A file that this process has locked. Closing it releases the lock."""

    path: Path
    descriptor: int


@dataclass(frozen=True)
class SpooledLines:
    """The lines of one closed file of the spool."""

    lines: tuple[AuditLine, ...]
    path: Path


class Spool:
    """A folder with the lines that are not chained yet, of this process and of those that died."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._current: _OpenFile | None = None
        self._current_bytes = 0
        self._closed: dict[Path, int] = {}
        """The descriptors of the files that are to be chained."""
        self._closed_bytes: dict[Path, int] = {}
        self._unsynced: list[_OpenFile] = []

    @property
    def size_bytes(self) -> int:
        """The size of all lines that are not chained yet."""
        return self._current_bytes + sum(self._closed_bytes.values())

    @property
    def oldest_at(self) -> datetime | None:
        """When the oldest of these lines was written; None if there is none."""
        paths = [*self._closed, *([self._current.path] if self._current else [])]
        nanoseconds = min((int(path.name.partition("-")[0]) for path in paths), default=None)
        return None if nanoseconds is None else datetime.fromtimestamp(nanoseconds / 1e9, UTC)

    def write(self, line: AuditLine) -> None:
        """Write a line. It survives this process; `sync` makes it survive a loss of power. Raises SpoolUnavailable."""
        content = canonical_bytes(line)
        record = b"%08x %b\n" % (zlib.crc32(content), content)
        if self.size_bytes + len(record) > self._max_bytes:
            raise SpoolUnavailable("the audit's spool is full: lines are not chained fast enough, or not at all")
        try:
            if self._current is None:
                self._current = self._create_file()
            written = os.write(self._current.descriptor, record)
        except OSError as error:
            raise SpoolUnavailable(f"the audit's spool cannot be written: {error.strerror}") from None
        self._current_bytes += written
        if written < len(record):
            self._close_current()  # a torn record ends its file; nothing may follow it
            raise SpoolUnavailable("the audit's spool cannot be written: the disk is full")
        if self._current_bytes >= MAX_FILE_BYTES:
            self._close_current()

    async def sync(self) -> None:
        """Make all lines written so far survive a loss of power. Raises OSError."""
        unsynced = [*self._unsynced, *([self._current] if self._current else [])]
        if unsynced:
            # Duplicates, because a file may be chained and closed meanwhile.
            descriptors = [os.dup(file.descriptor) for file in unsynced]
            self._unsynced.clear()
            await asyncio.to_thread(_sync_all, descriptors, self._folder)

    def load(self) -> SpooledLines | None:
        """The lines of the oldest file, which is closed; None if there is nothing to chain. Raises OSError."""
        self._close_current()
        self._take_over()
        for path in sorted(self._closed):
            return SpooledLines(tuple(_read(path)), path)
        return None

    def remove(self, spooled: SpooledLines) -> None:
        """Remove a file whose lines are all chained. Idempotent. Raises OSError."""
        spooled.path.unlink(missing_ok=True)
        self._closed_bytes.pop(spooled.path, None)
        self._unsynced = [file for file in self._unsynced if file.path != spooled.path]
        descriptor = self._closed.pop(spooled.path, None)
        if descriptor is not None:
            os.close(descriptor)

    def close(self) -> None:
        """Close all files. Those with lines stay for the next process."""
        self._close_current()
        for descriptor in self._closed.values():
            os.close(descriptor)
        self._closed.clear()
        self._closed_bytes.clear()
        self._unsynced.clear()

    def _create_file(self) -> _OpenFile:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{time.time_ns():020}-{uuid4().hex}{SUFFIX}"
        new = path.with_suffix(NEW_SUFFIX)
        descriptor = _create_locked(new)
        new.rename(path)  # only now, when it is locked, another process may see it
        return _OpenFile(path, descriptor)

    def _close_current(self) -> None:
        if self._current is not None:
            self._closed[self._current.path] = self._current.descriptor
            self._closed_bytes[self._current.path] = self._current_bytes
            self._unsynced.append(self._current)
            self._current, self._current_bytes = None, 0

    def _take_over(self) -> None:
        """Lock the files of processes that died, which released their locks."""
        for path in self._folder.glob(f"*{SUFFIX}"):
            if path in self._closed:
                continue
            descriptor = _lock_existing(path)
            if descriptor is not None:
                self._closed[path] = descriptor
                self._closed_bytes[path] = os.fstat(descriptor).st_size


def _create_locked(path: Path) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _lock_existing(path: Path) -> int | None:
    """The descriptor of a file that is locked now; None if another process has locked or removed it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _sync_all(descriptors: list[int], folder: Path) -> None:
    """Sync the files, and the folder that names them, and close the descriptors."""
    folder_descriptor = os.open(folder, os.O_RDONLY)
    try:
        for descriptor in [*descriptors, folder_descriptor]:
            os.fsync(descriptor)
    finally:
        for descriptor in [*descriptors, folder_descriptor]:
            os.close(descriptor)


def _read(path: Path) -> Iterator[AuditLine]:
    """The lines of a file. A torn one is left out: the process or the machine died before it was answered.

    Raises ValidationError for a line that only a newer version can read: its file stays.
    """
    for record in path.read_bytes().splitlines(keepends=True):
        checksum, _, content = record.removesuffix(b"\n").partition(b" ")
        if not record.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(content):
            log.error("Torn line in the audit's spool", file=path.name)
        else:
            yield parse_line(content)
