"""Everybody who takes part, and where the frameworks that are none of ours are installed."""

import subprocess
import sys
from pathlib import Path

from bench.runner import REPOSITORY, Implementation
from tools.sandbox.servers.process import CACHE_FOLDER, RunError, exclusive_lock

LOCK = REPOSITORY / "deploy" / "lock" / "bench.txt"
VENV = CACHE_FOLDER / "bench"
OURS, PLAIN, NAIVE, PER_MESSAGE = "ours", "plain loop", "naive loop", "faststream, per message"
QUIX, FAUST, BYTEWAX = "quixstreams", "faust-streaming", "bytewax"
SLOW_IMPLEMENTATIONS = (NAIVE, PER_MESSAGE)  # get less time

LIMITATIONS = {
    OURS: "",
    PLAIN: "Knows no other writer, no failure, no unreadable message; nobody sees what it does.",
    NAIVE: "As the plain loop, and three round trips for each event.",
    PER_MESSAGE: "As the naive loop; what it cannot read is tried again for good.",
    QUIX: "No asyncio, so PyMongo. Its own state is a RocksDB of one process, which no API could ask: the state is "
    "written by a sink of ours at each checkpoint. A failed checkpoint ends the process.",
    FAUST: "Its own state is a RocksDB as well. Commits on its own clock, not behind the batch; a batch that fails is "
    "lost: the agent goes on behind it.",
    BYTEWAX: "Knows no consumer group: partitions are fixed at the start, and where it goes on is kept in files of its "
    "own, which were off here. What fails ends the process.",
}


def load_implementations(names: tuple[str, ...]) -> dict[str, Implementation]:
    """Those of these names, ready to run. Raises CannotRun."""
    implementations = [_implementation(name) for name in names]
    return {implementation.name: implementation for implementation in implementations}


def _implementation(name: str) -> Implementation:
    match name:
        case "ours":
            return Implementation(name, [sys.executable, "-m", "services.alliance"], {"LOG_LEVEL": "warning"})
        case "plain loop":
            return _module_implementation(name, "plain")
        case "naive loop":
            return _module_implementation(name, "naive")
        case "faststream, per message":
            return _module_implementation(name, "per_message")
        case "quixstreams":
            return _module_implementation(name, "with_quixstreams", str(_venv_python()), commits=False)
        case "faust-streaming":
            return _module_implementation(name, "with_faust", str(_venv_python()), commits=False)
        case _:
            return _module_implementation(name, "with_bytewax", str(_venv_python()), commits=False)


def _module_implementation(
    name: str, module: str, python: str = sys.executable, *, commits: bool = True
) -> Implementation:
    return Implementation(name, [python, "-m", f"bench.implementations.{module}"], commits_batches=commits)


def _venv_python() -> Path:
    return installed_program("python")


def installed_program(program: str) -> Path:
    """A program of the environment of the others, which is made where it is not there. Raises CannotRun."""
    ready_marker = VENV / ".ready"
    with exclusive_lock(CACHE_FOLDER / "bench.lock"):
        if not ready_marker.exists() or ready_marker.stat().st_mtime < LOCK.stat().st_mtime:
            print("installing the frameworks to compare with (once)", flush=True)
            pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            for command in ([sys.executable, "-m", "venv", str(VENV)], [*pip, "--require-hashes", "-r", str(LOCK)]):
                if subprocess.run(command, check=False).returncode:
                    raise RunError(f"the frameworks to compare with could not be installed: {' '.join(command)}")
            ready_marker.touch()
    return VENV / "bin" / program
