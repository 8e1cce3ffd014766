"""Lines of reads are on the disk before they are answered, and leave it only when they are chained."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.audit.line import AuditLine
from shared.audit.spool import Spool, SpoolUnavailable
from tests.support.audit_builders import make_line, make_lines

LIMIT = 10_000_000


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", LIMIT)
    yield spool
    spool.close()


def drain(spool: Spool) -> list[AuditLine]:
    """Take all lines, as if they were chained."""
    lines: list[AuditLine] = []
    while (spooled := spool.load()) is not None:
        lines += spooled.lines
        spool.remove(spooled)
        spool.remove(spooled)
    return lines


def files(folder: Path) -> list[Path]:
    return sorted((folder / "spool").glob("*"))


def test_lines_are_read_back_in_their_order_and_then_removed(spool: Spool, tmp_path: Path) -> None:
    lines = make_lines(600)
    for line in lines:
        spool.write(line)
    assert spool.size_bytes == sum(file.stat().st_size for file in files(tmp_path))
    assert len(files(tmp_path)) > 1
    assert drain(spool) == lines

    assert files(tmp_path) == []
    assert spool.size_bytes == 0


def test_the_age_of_the_oldest_line_is_known(spool: Spool) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    assert spool.oldest_at is None

    spool.write(make_line())

    assert spool.oldest_at is not None
    assert before < spool.oldest_at <= datetime.now(UTC)


def test_a_line_that_is_written_while_others_are_chained_is_in_the_next_file(spool: Spool) -> None:
    first, second = make_lines(2)
    spool.write(first)
    spooled = spool.load()
    spool.write(second)

    assert spooled is not None
    assert spooled.lines == (first,)
    assert spool.load() == spooled
    spool.remove(spooled)
    assert drain(spool) == [second]


def test_what_a_closed_spool_left_is_taken_over(spool: Spool, tmp_path: Path) -> None:
    lines = make_lines(3)
    for line in lines:
        spool.write(line)
    spool.load()  # and the process ends before its lines are chained
    size_bytes = spool.size_bytes
    spool.close()
    next_spool = Spool(tmp_path / "spool", LIMIT)
    next_spool.load()

    assert next_spool.size_bytes == size_bytes > 0
    assert drain(next_spool) == lines


def test_processes_that_share_a_folder_leave_each_others_files_alone(spool: Spool, tmp_path: Path) -> None:
    other = Spool(tmp_path / "spool", LIMIT)
    mine, others = make_lines(2)
    spool.write(mine)
    other.write(others)

    assert drain(other) == [others]
    assert drain(spool) == [mine]
    other.close()


@pytest.mark.parametrize("torn_bytes", [1, 2, 40])
def test_a_torn_last_line_is_left_out(spool: Spool, tmp_path: Path, torn_bytes: int) -> None:
    lines = make_lines(3)
    for line in lines:
        spool.write(line)
    spool.close()
    (file,) = files(tmp_path)
    os.truncate(file, file.stat().st_size - torn_bytes)

    assert drain(Spool(tmp_path / "spool", LIMIT)) == lines[:2]


def test_a_damaged_line_is_left_out_and_those_after_it_are_not(spool: Spool, tmp_path: Path) -> None:
    lines = make_lines(2)
    for line in lines:
        spool.write(line)
    spool.close()
    (file,) = files(tmp_path)
    file.write_bytes(file.read_bytes().replace(b'"outcome":"allowed"', b'"outcome":"ALLOWED"', 1))

    assert drain(Spool(tmp_path / "spool", LIMIT)) == lines[1:]


def test_a_spool_at_its_limit_refuses_a_line_until_others_are_chained(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1_000)
    spool.write(make_line())

    spool.write(make_line())

    with pytest.raises(SpoolUnavailable, match="full"):
        spool.write(make_line())

    assert spool.size_bytes <= 1_000
    drain(spool)
    spool.write(make_line())
    spool.close()


def test_a_folder_that_cannot_be_written_refuses_a_line(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file in its place")

    with pytest.raises(SpoolUnavailable):
        Spool(tmp_path / "spool", LIMIT).write(make_line())


def test_a_disk_that_is_full_amid_a_line_refuses_it_and_loses_no_other(spool: Spool, tmp_path: Path) -> None:
    first, torn, last = make_lines(3)
    spool.write(first)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (files(tmp_path)[0].stat().st_size + 50, limits[1]))
    try:
        with pytest.raises(SpoolUnavailable):
            spool.write(torn)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    spool.write(last)

    assert drain(spool) == [first, last]


async def test_lines_are_synced_whether_their_file_is_open_closed_or_removed(spool: Spool) -> None:
    await spool.sync()
    spool.write(make_line())
    await spool.sync()
    spooled = spool.load()
    spool.write(make_line())
    assert spooled is not None

    async def remove() -> None:
        spool.remove(spooled)

    await asyncio.gather(spool.sync(), remove())

    assert len(drain(spool)) == 1


WRITER = """
import sys
from pathlib import Path
from shared.audit.spool import Spool
from tests.support.audit_builders import make_line
spool = Spool(Path(sys.argv[1]), 10**9)
while True:
    line = make_line()
    spool.write(line)
    print(line.id, flush=True)
"""


async def test_a_process_that_is_killed_loses_no_line_that_it_answered(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    answered = [(await process.stdout.readline()).decode().strip() for _ in range(500)]
    process.send_signal(signal.SIGKILL)
    answered += [line.decode().strip() for line in (await process.stdout.read()).splitlines(keepends=True)[:-1]]
    await process.wait()

    written = [str(line.id) for line in drain(Spool(tmp_path, LIMIT))]

    assert written[: len(answered)] == answered
    assert len(written) - len(answered) <= 2
