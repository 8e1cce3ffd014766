"""A server as a child process on persistent data: it can be killed and started again."""

import fcntl
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.sandbox.servers.ports import is_free

PROJECT_ROOT = Path(__file__).parents[3]
CACHE_FOLDER = PROJECT_ROOT / ".cache"  # downloads, once for this work tree
START_TIMEOUT_SECONDS = 120.0  # a laptop under load needs 20
STOP_TIMEOUT_SECONDS = 30.0  # after which a server is killed
LOG_TAIL_LINES = 20  # enough of a log to show the cause below a Java stack trace

Report = Callable[[str], None]


class RunError(Exception):
    """Something cannot run here. The message says why and what a person can do about it."""


@dataclass
class LocalServer:
    """One server, its port and its data. A context manager: started on entry, stopped on exit.

    Its methods block; call them from asyncio through `asyncio.to_thread`.
    """

    name: str
    address: str  # for its clients
    command: Sequence[str | Path]
    data: Path
    port: int
    is_ready: Callable[[], bool]  # sends a real request; False or OSError mean "not yet"
    report: Report = print
    prepare: Callable[[], None] = lambda: None  # before each start, when no other process uses the data
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _data_lock: TextIOWrapper | None = field(default=None, init=False)

    @property
    def log_file(self) -> Path:
        """The output of all runs on this data."""
        return self.data / "log"

    @property
    def has_exited(self) -> bool:
        """Whether it exited without being stopped."""
        return self.process is not None and self.process.poll() is not None

    def start(self) -> None:
        """Start it and wait until it is ready. Raises RunError, with the end of its log, if it does not get ready.

        A process that a killed owner of this data left running is stopped first.
        """
        if self.has_exited:
            self.kill()  # releases the lock on its data
        self._data_lock = _lock_data(self.data)
        try:
            self._stop_orphan()
            if not is_free(self.port):
                raise RunError(f"{self.name} cannot start: another program uses port {self.port}.")
            self.prepare()
            self._launch()
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop it with SIGTERM, or with SIGKILL after a timeout, and wait until it has exited."""
        self._terminate(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it like a power cut. Its data stays, and `start` continues from there."""
        self._terminate(signal.SIGKILL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> None:
        self.report(f"starting {self.name} on port {self.port}")
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C reaches only the caller, which stops the servers last
            )
        self._pid_file.write_text(str(self.process.pid))

    def _wait_until_ready(self) -> None:
        assert self.process
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._is_answering():
            if self.process.poll() is not None:
                raise RunError(
                    f"{self.name} exited during startup (exit code {self.process.returncode}).\n{self._log_tail()}"
                )
            if time.monotonic() > deadline:
                raise RunError(f"{self.name} was not ready within {START_TIMEOUT_SECONDS:.0f} s.\n{self._log_tail()}")
            time.sleep(0.1)  # servers do not notify when they are ready

    def _is_answering(self) -> bool:
        try:
            return self.is_ready()
        except OSError:
            return False

    def _terminate(self, signal_to_send: signal.Signals) -> None:
        if self.process:
            self.process.send_signal(signal_to_send)
            try:
                self.process.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self.report(f"{self.name} did not stop in {STOP_TIMEOUT_SECONDS:.0f} s: killing it")
                self.process.kill()
                self.process.wait()
            self.process = None
            self._pid_file.unlink(missing_ok=True)
        if self._data_lock:
            # Unlocked explicitly: a child that is just being started also holds the open file until it execs.
            fcntl.flock(self._data_lock, fcntl.LOCK_UN)
            self._data_lock.close()
            self._data_lock = None

    def _stop_orphan(self) -> None:
        """Stop the process of an earlier owner that is gone. We hold the lock, so nobody else uses the data."""
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        while pid := running_process(self.data):
            with suppress(ProcessLookupError):  # it exited meanwhile
                os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
            time.sleep(0.2)  # it is not our child process, so we cannot wait for it

    @property
    def _pid_file(self) -> Path:
        return self.data / "pid"

    def _log_tail(self) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines()
        return "\n".join([f"The end of {self.log_file}:", *lines[-LOG_TAIL_LINES:]])


@contextmanager
def exclusive_lock(lock: Path) -> Iterator[None]:
    """A lock across processes; it is released when its holder dies."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def require_linux_x86_64() -> None:
    """Raise RunError on a platform on which the bundled servers cannot run."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise RunError(
            f"The bundled servers need Linux on x86_64; this is {sys.platform} on {platform.machine()}. "
            "Start them with `docker compose up`, or set KAFKA_BOOTSTRAP_SERVERS and MONGODB_URI to your own servers."
        )


def _lock_data(data: Path) -> TextIOWrapper:
    """Lock the data for this process, until the file is closed or the process exits."""
    data.mkdir(parents=True, exist_ok=True)
    lock_file = (data / "claim").open("a+")
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock_file.seek(0)
        owner = lock_file.read()
        lock_file.close()
        raise RunError(
            f"Another process already uses {data}: {owner}. Stop it with Ctrl-C or `kill {owner}` and start again."
        ) from None
    lock_file.truncate(0)
    lock_file.write(str(os.getpid()))
    lock_file.flush()
    return lock_file


def running_process(data: Path) -> int | None:
    """The process that was started on `data` and still runs, even if its owner is gone."""
    try:
        pid = int((data / "pid").read_text() or 0)
    except OSError:
        return None
    return pid if os.fsencode(data) in _command_line(pid) else None


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
