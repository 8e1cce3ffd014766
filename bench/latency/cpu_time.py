"""How much of the machine each server uses, and how much other processes use."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from tools.sandbox.servers.process import LocalServer

CORES = os.cpu_count() or 1
WHOLE_MACHINE = "whole machine"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds_by_server(servers: Sequence[LocalServer]) -> dict[str, float]:
    """The CPU time so far of each server, of this load generator, and of the whole machine."""
    by_server = {server.name: _cpu_seconds(server.process.pid) for server in servers if server.process}
    user, nice, system, _idle, _waiting, *interrupts = Path("/proc/stat").read_text().split()[1:8]
    whole_machine = sum(map(int, (user, nice, system, *interrupts))) / TICKS_PER_SECOND
    return {**by_server, "load": time.process_time(), WHOLE_MACHINE: whole_machine}


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
