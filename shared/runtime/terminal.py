"""What operators see of a long-running command: its progress, its results and its errors."""

import asyncio
import logging
import sys
from collections.abc import Coroutine

from shared.errors import BrokerUnavailable, StoreUnavailable
from shared.runtime.garbage_collection import tune_garbage_collector

PROGRESS_BAR_WIDTH = 30  # of the progress bar


class CommandError(Exception):
    """The command cannot be done in the current state. The text says why, and what to do."""


def run(command: str, coroutine: Coroutine[None, None, int]) -> int:
    """Run a command; return its exit code, or 1 if it fails or a dependency is unavailable."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # one line of ours replaces hundreds of its lines
    tune_garbage_collector()
    try:
        return asyncio.run(coroutine)
    except CommandError as error:
        return report_error(command, str(error), 1)
    except BrokerUnavailable as error:
        return report_error(command, f"Kafka is unavailable: {error}", 1)
    except StoreUnavailable as error:
        return report_error(command, f"MongoDB is unavailable: {error}", 1)
    except OSError as error:
        return report_error(command, str(error), 1)
    except KeyboardInterrupt:
        return 130


def report_error(command: str, reason: str, exit_code: int) -> int:
    """Write one line with the reason to standard error; return the exit code."""
    sys.stderr.write(f"{command}: {' '.join(reason.split())}\n")
    return exit_code


def show_progress(command: str, done: int, total: int, unit: str = "relationships") -> None:
    """Show progress: one line that changes on a terminal, elsewhere one line at the start and one at the end."""
    filled = PROGRESS_BAR_WIDTH * done // max(total, 1)
    line = f"{command}: [{'#' * filled}{'.' * (PROGRESS_BAR_WIDTH - filled)}] {done} of {total} {unit}"
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{line}" + ("\n" if done == total else ""))
    elif done in (0, total):
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def report(line: str) -> None:
    """Write one line of results to standard output."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
