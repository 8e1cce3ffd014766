"""`python -m tools.install LOCK_FILE`: install the packages of a lock file into .venv, and say how long each step took.

Standard library only: it runs on the Python of this machine. What is installed already stays.
"""

import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

VENV = Path(__file__).parents[1] / ".venv"
PYTHON = VENV / "bin" / "python"
UNITS = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}


def main(lock_file: str) -> int:
    try:
        if not _has_pip():
            _create_venv()
        _install(lock_file)
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def _has_pip() -> bool:
    try:
        return not subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, check=False).returncode
    except OSError:
        return False


def _create_venv() -> None:
    if find_spec("ensurepip") is None:  # without it, .venv would have no pip
        package = "python{}.{}-venv".format(*sys.version_info)
        sys.exit(f"{sys.executable} cannot create virtual environments; on Debian: apt-get install {package}")
    started_at = time.monotonic()
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    print(f"created {VENV.name} in {time.monotonic() - started_at:.1f} s", flush=True)


def _install(lock_file: str) -> None:
    print(f"installing the packages of {lock_file}", flush=True)
    started_at = time.monotonic()
    pip = subprocess.run(
        [
            *(PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"),
            *("--require-hashes", "-r", lock_file),
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    print(f"installed {summarize(pip.stdout)} in {time.monotonic() - started_at:.1f} s", flush=True)


def summarize(pip_output: str) -> str:
    """How many packages pip installed, and how many bytes it downloaded for that."""
    installed = re.search(r"^Successfully installed (.*)$", pip_output, re.MULTILINE)
    package_count = len(installed[1].split()) if installed else 0
    sizes = re.findall(r"^\s*Downloading .* \(([\d.]+) (bytes|kB|MB|GB)\)$", pip_output, re.MULTILINE)
    downloaded_bytes = sum(float(size) * UNITS[unit] for size, unit in sizes)
    return f"{package_count} packages, {downloaded_bytes / 1e6:.1f} MB downloaded,"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
