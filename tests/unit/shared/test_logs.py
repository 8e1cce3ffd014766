"""A log says where an error happened and of which type it is. It never has the value that caused it."""

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.errors import StoreUnavailable
from shared.runtime.logs import configure_logging

SECRET = "ANNA-MUELLER"


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_traceback_has_places_and_types_and_the_texts_of_our_own_errors(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("sessions", "info")
    try:
        try:
            _fail_with_a_value()
        except KeyError as error:
            raise StoreUnavailable("no primary was found") from error
    except StoreUnavailable as error:
        structlog.get_logger().error("Task failed", exc_info=error)
        logging.getLogger("library").exception("Task failed")

    ours, of_a_library = (json.loads(line) for line in capsys.readouterr().out.splitlines())

    assert ours["exception"] == of_a_library["exception"]
    *_, last = ours["exception"].splitlines()
    assert last == "KeyError"
    assert "StoreUnavailable: no primary was found" in ours["exception"]
    assert "in _fail_with_a_value" in ours["exception"]
    assert SECRET not in ours["exception"]


def test_every_error_of_a_group_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("sessions", "info")

    structlog.get_logger().error("failed", exc_info=ExceptionGroup(SECRET, [KeyError(SECRET), ValueError(SECRET)]))

    line = capsys.readouterr().out
    assert SECRET not in line
    assert json.loads(line)["exception"].splitlines() == [
        "ExceptionGroup",
        "Of this group:",
        "KeyError",
        "Of this group:",
        "ValueError",
    ]


def test_a_task_that_nobody_awaited_is_logged_without_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("sessions", "info")

    async def drop_a_failed_task() -> None:
        task = asyncio.create_task(asyncio.to_thread(_fail_with_a_value))
        await asyncio.wait({task})

    asyncio.run(drop_a_failed_task())

    line = capsys.readouterr().out
    assert json.loads(line)["event"] == "Task exception was never retrieved"
    assert "KeyError" in line
    assert SECRET not in line


def _fail_with_a_value() -> None:
    raise KeyError(SECRET)
