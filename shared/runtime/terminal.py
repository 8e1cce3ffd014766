"""What operators see of a command that works through much: how far it is, and how it ended."""

import asyncio
import logging
import sys
from collections.abc import Coroutine

from shared.errors import BrokerUnavailable, StoreUnavailable
from shared.runtime.garbage_collection import tune_garbage_collector

PROGRESS_BAR_WIDTH = 30  # of the progress bar


class CommandError(Exception):
    """What was asked for cannot be done as things stand. Its text says why, and what to do."""


def run(command: str, coroutine: Coroutine[None, None, int]) -> int:
    """Do it; its exit code, or 1 where the database, Kafka or what they hold does not allow it."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # we say in one line what it says in hundreds
    tune_garbage_collector()
    try:
        return asyncio.run(coroutine)
    except CommandError as error:
        return report_error(command, str(error), 1)
    except BrokerUnavailable as error:
        return report_error(command, f"Kafka does not answer: {error}", 1)
    except StoreUnavailable as error:
        return report_error(command, f"the database does not answer: {error}", 1)
    except OSError as error:
        return report_error(command, str(error), 1)
    except KeyboardInterrupt:
        return 130


def report_error(command: str, reason: str, exit_code: int) -> int:
    """Say in one line why it ended, and with which exit code."""
    sys.stderr.write(f"{command}: {' '.join(reason.split())}\n")
    return exit_code


def show_progress(command: str, done: int, total: int, unit: str = "relationships") -> None:
    """One line that changes on a terminal; elsewhere a line at the beginning and the end of each reading."""
    filled = PROGRESS_BAR_WIDTH * done // max(total, 1)
    line = f"{command}: [{'#' * filled}{'.' * (PROGRESS_BAR_WIDTH - filled)}] {done} of {total} {unit}"
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{line}" + ("\n" if done == total else ""))
    elif done in (0, total):
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def report(line: str) -> None:
    """Something that was found."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
