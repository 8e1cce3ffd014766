"""The implementations that are compared, and the environment in which the other frameworks are installed."""

import subprocess
import sys
from pathlib import Path

from bench.runner import REPOSITORY, Implementation
from tools.sandbox.servers.process import CACHE_FOLDER, RunError, exclusive_lock

LOCK = REPOSITORY / "deploy" / "lock" / "bench.txt"
VENV = CACHE_FOLDER / "bench"
OURS, PLAIN, NAIVE, PER_MESSAGE = "ours", "plain loop", "naive loop", "faststream, per message"
QUIX, FAUST, BYTEWAX = "quixstreams", "faust-streaming", "bytewax"
SLOW_IMPLEMENTATIONS = (NAIVE, PER_MESSAGE)  # measured for a shorter time

LIMITATIONS = {
    OURS: "",
    PLAIN: "Handles no concurrent writer, no failure and no undecodable message; has no metrics and no logs.",
    NAIVE: "As the plain loop, with three round trips for each event.",
    PER_MESSAGE: "As the naive loop. Retries an undecodable message forever.",
    QUIX: "Has no asyncio, so it uses PyMongo. Its own state store is a RocksDB in the process, which an API could not "
    "query, so a sink of ours writes the state at each checkpoint. A failed checkpoint ends the process.",
    FAUST: "Its own state store is a RocksDB as well. Commits on a timer, not after the batch. A failed batch is lost: "
    "the agent continues after it.",
    BYTEWAX: "Has no consumer group: partitions are assigned at the start, and offsets are stored in files of its own, "
    "which were off here. A failure ends the process.",
}


def load_implementations(names: tuple[str, ...]) -> dict[str, Implementation]:
    """The implementations with these names, ready to run. Raises RunError if their frameworks cannot be installed."""
    implementations = [_implementation(name) for name in names]
    return {implementation.name: implementation for implementation in implementations}


def _implementation(name: str) -> Implementation:
    match name:
        case "ours":
            return Implementation(name, [sys.executable, "-m", "services.alliance"], {"LOG_LEVEL": "warning"})
        case "plain loop":
            return _module_implementation(name, "plain_loop")
        case "naive loop":
            return _module_implementation(name, "naive_loop")
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
    """The path of a program in the benchmark environment, which is created if missing. Raises RunError."""
    ready_marker = VENV / ".ready"
    with exclusive_lock(CACHE_FOLDER / "bench.lock"):
        if not ready_marker.exists() or ready_marker.stat().st_mtime < LOCK.stat().st_mtime:
            print("Installing the frameworks to compare with (once)", flush=True)
            pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            for command in ([sys.executable, "-m", "venv", str(VENV)], [*pip, "--require-hashes", "-r", str(LOCK)]):
                if subprocess.run(command, check=False).returncode:
                    raise RunError(f"The frameworks to compare with could not be installed: {' '.join(command)}")
            ready_marker.touch()
    return VENV / "bin" / program
