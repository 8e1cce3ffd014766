"""`python -m tests.system.chaos.service NAME`: a service as it ships, with fault points installed.

FAULT_POINT_FILE is the trigger file of the fault points; CLOCK_OFFSET_SECONDS is added to the service's clock;
SESSION_TIMEOUT_MS is after how long the group goes on without a member that was killed or paused.
"""

import os
import sys
from datetime import datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path

from shared.runtime import clock
from tests.system.chaos import fault_points


def main() -> None:
    name = sys.argv[1]
    sys.argv = [f"services.{name}", *sys.argv[2:]]
    clock_offset, real_now = timedelta(seconds=float(os.environ.get("CLOCK_OFFSET_SECONDS", "0"))), clock.now

    def shifted_now() -> datetime:
        return real_now() + clock_offset

    if clock_offset:
        clock.now = shifted_now  # before any other module imports the function
    set_session_timeout(int(os.environ["SESSION_TIMEOUT_MS"]))
    fault_points.install(name, Path(os.environ["FAULT_POINT_FILE"]))
    import_module(f"services.{name}.__main__").main()


def set_session_timeout(session_timeout_ms: int) -> None:
    client, timings = import_module("shared.kafka.client"), import_module("shared.kafka.subscriber").ConsumerTimings
    heartbeat_interval_ms = session_timeout_ms // 5
    client.ConsumerTimings = partial(  # type: ignore[attr-defined]
        timings, session_timeout_ms=session_timeout_ms, heartbeat_interval_ms=heartbeat_interval_ms
    )


if __name__ == "__main__":
    main()
