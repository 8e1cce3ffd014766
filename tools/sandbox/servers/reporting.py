"""Reports progress to the person who started something, and shows the logs after a failure."""

import os
import sys
from pathlib import Path

LOG_TAIL_LINES = 15  # of each log, where the files are not available afterwards
INFO_MARKERS = ('"level": "info"', '"s":"I"')  # of our services and of MongoDB


def report(line: str) -> None:
    """Print a line in one write, because several servers start concurrently."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def show_logs(data: Path) -> None:
    """Print where the logs are, and their last warnings and errors if the files are not available afterwards."""
    report(f"logs: {data}/*/log")
    if "CI" in os.environ or not sys.stdout.isatty():
        for log in sorted(data.glob("*/log")):
            lines = log.read_text(errors="replace").splitlines()
            problems = [line[:400] for line in lines if not any(marker in line for marker in INFO_MARKERS)]
            report("\n".join([f"--- last warnings and errors in {log}", *problems[-LOG_TAIL_LINES:]]))
