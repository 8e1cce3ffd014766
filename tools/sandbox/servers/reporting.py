"""What is said to whoever started something here, and the logs that are worth seeing when it went wrong."""

import os
import sys
from pathlib import Path

LOG_TAIL_LINES = 15  # of each log, where nobody can look at the files afterwards
INFO_MARKERS = ('"level": "info"', '"s":"I"')  # as our services, and MongoDB, mark such lines


def report(line: str) -> None:
    """In one piece: several servers start at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def show_logs(data: Path) -> None:
    """Where they are; and the last complaints in each, where nobody can look at the files afterwards."""
    report(f"logs: {data}/*/log")
    if "CI" in os.environ or not sys.stdout.isatty():
        for log in sorted(data.glob("*/log")):
            lines = log.read_text(errors="replace").splitlines()
            complaints = [line[:400] for line in lines if not any(marker in line for marker in INFO_MARKERS)]
            report("\n".join([f"--- the last complaints in {log}", *complaints[-LOG_TAIL_LINES:]]))
