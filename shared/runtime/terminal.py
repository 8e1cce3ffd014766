"""What operators see of a command that works through much: how far it is, and how it ended."""

import asyncio
import logging
import sys
from collections.abc import Coroutine

from shared.errors import BrokerUnavailable, StoreUnavailable
from shared.runtime.garbage_collection import collect_rarely

WIDTH = 30  # of the progress bar


class NotPossible(Exception):
    """What was asked for cannot be done as things stand. Its text says why, and what to do."""


def run(command: str, coroutine: Coroutine[None, None, int]) -> int:
    """Do it; its exit code, or 1 where the database, Kafka or what they hold does not allow it."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # we say in one line what it says in hundreds
    collect_rarely()
    try:
        return asyncio.run(coroutine)
    except NotPossible as error:
        return failed(command, str(error), 1)
    except BrokerUnavailable as error:
        return failed(command, f"Kafka does not answer: {error}", 1)
    except StoreUnavailable as error:
        return failed(command, f"the database does not answer: {error}", 1)
    except OSError as error:
        return failed(command, str(error), 1)
    except KeyboardInterrupt:
        return 130


def failed(command: str, why: str, exit_code: int) -> int:
    """Say in one line why it ended, and with which exit code."""
    sys.stderr.write(f"{command}: {' '.join(why.split())}\n")
    return exit_code


def progress(command: str, read: int, count: int, what: str = "relationships") -> None:
    """One line that changes on a terminal; elsewhere a line at the beginning and the end of each reading."""
    filled = WIDTH * read // max(count, 1)
    line = f"{command}: [{'#' * filled}{'.' * (WIDTH - filled)}] {read} of {count} {what}"
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{line}" + ("\n" if read == count else ""))
    elif read in (0, count):
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def say(line: str) -> None:
    """Something that was found."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
