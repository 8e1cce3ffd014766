"""`python -m tests.system.chaos.service NAME`: a service as it ships, with the points at which it can be hit.

ARMED_BY names the file that the points look for; CLOCK_IS_OFF_BY gives the seconds by which its clock is wrong.
"""

import os
import sys
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path

from shared.runtime import clock
from tests.system.chaos import fault_points


def main() -> None:
    name = sys.argv[1]
    sys.argv = [f"services.{name}"]
    clock_offset, real_now = timedelta(seconds=float(os.environ.get("CLOCK_IS_OFF_BY", "0"))), clock.now

    def shifted_now() -> datetime:
        return real_now() + clock_offset

    if clock_offset:
        clock.now = shifted_now  # before anything else takes it by name
    fault_points.install(name, Path(os.environ["ARMED_BY"]))
    import_module(f"services.{name}.__main__").main()


if __name__ == "__main__":
    main()
