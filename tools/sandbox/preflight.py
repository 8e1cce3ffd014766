"""`python -m tools.sandbox.preflight`: check that the demo can run here, before anything is installed.

Standard library only: it runs on the Python of this machine. A problem is one line that says what to do; exit code 2.
"""

import os
import platform
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from tools.sandbox.servers.libraries import REMEDIES, missing_libraries
from tools.sandbox.servers.ports import is_free
from tools.sandbox.servers.process import PROJECT_ROOT, RunError, require_linux_x86_64, running_process

SERVICES = ("intake", "sessions", "alliance", "notify")
FIRST_PORT = 8001  # of the services, which use consecutive ports; DEMO_PORT overrides it
FRONT_DOOR_FOLDER, ISSUER_FOLDER = "front-door", "issuer"
OPS_PORT_OFFSET = 1000  # health, metrics and docs of the service on port 8001 are on port 9001
SWITCHES = ("DEMO_TLS", "DEMO_LAN")
MAX_PORT = 65_535
OTHER_PORTS_HINT = "Use other ports: DEMO_PORT=8101 make demo"
FIRST_START_MB = 1_500  # 560 for .venv, 45 for .cache, 400 for .attune, and what pip unpacks meanwhile
LATER_START_MB = 200
CONNECT_TIMEOUT_SECONDS = 3.0

Environment = Mapping[str, str]
Problems = Iterator[str]


def main() -> int:
    started_at = time.monotonic()
    problems = find_problems(os.environ, PROJECT_ROOT)
    if problems:
        sys.stderr.write("\n".join(["The demo cannot start, and nothing was installed:", *problems, ""]))
        return 2
    first_port = parse_first_port(os.environ)
    print(
        f"checked {platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"ports {', '.join(map(str, demo_ports(first_port)))}, settings and disk space "
        f"in {time.monotonic() - started_at:.1f} s",
        flush=True,
    )
    return 0


def find_problems(environment: Environment, root: Path) -> list[str]:
    """Why the demo in `root` could not start, one line for each reason."""
    checks: tuple[Callable[[Environment, Path], Problems], ...] = (
        _check_platform,
        _check_venv,
        _check_kafka,
        _check_mongodb,
        _check_ports,
        _check_switches,
        _check_disk,
    )
    return [problem for check in checks for problem in check(environment, root)]


def _check_platform(environment: Environment, _root: Path) -> Problems:
    if not {"KAFKA_BOOTSTRAP_SERVERS", "MONGODB_URI"} <= environment.keys():
        try:
            require_linux_x86_64()
        except RunError as error:
            yield str(error)


def _check_venv(_environment: Environment, root: Path) -> Problems:
    if not (root / ".venv" / "bin" / "python").exists() and find_spec("ensurepip") is None:
        package = "python{}.{}-venv".format(*sys.version_info)
        yield f"{sys.executable} cannot create virtual environments; on Debian: apt-get install {package}"


def _check_kafka(environment: Environment, _root: Path) -> Problems:
    servers = environment.get("KAFKA_BOOTSTRAP_SERVERS")
    if servers is not None:
        yield from _check_addresses("KAFKA_BOOTSTRAP_SERVERS", servers, "HOST:PORT,HOST:PORT")


def _check_mongodb(environment: Environment, _root: Path) -> Problems:
    uri = environment.get("MONGODB_URI")
    if uri is None:
        if shutil.which("mongod") is None:
            yield from (f"MongoDB needs {library}: {REMEDIES[library]}" for library in missing_libraries())
    elif not uri.startswith("mongodb+srv://"):
        match = re.fullmatch(r"mongodb://(?:[^/]*@)?([^/?]*)(?:[/?].*)?", uri)
        hosts = match[1].split(",") if match else []
        addresses = [host if re.search(r":[0-9]+$", host) else f"{host}:27017" for host in hosts]
        yield from _check_addresses("MONGODB_URI", ",".join(addresses), "mongodb://HOST:PORT/?replicaSet=NAME")


def _check_addresses(variable: str, addresses: str, expected: str) -> Problems:
    """The text has no user name or password, and may be shown."""
    parsed = [re.fullmatch(r"\[?([^\[\],]+?)\]?:([0-9]{1,5})", address.strip()) for address in addresses.split(",")]
    if not all(parsed):
        yield f"{variable} is not of the form {expected}: correct it, or unset it and the demo starts its own server."
    elif not any(_accepts_connections(match[1], int(match[2])) for match in parsed if match):
        yield f"{variable}: nothing answers at {addresses}. Start it, or unset {variable} and the demo starts its own."


def _accepts_connections(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_SECONDS).close()
    except (OSError, OverflowError):  # the second: there is no such port
        return False
    return True


def parse_first_port(environment: Environment) -> int:
    """The first of the ports of the services. Raises RunError if DEMO_PORT is none."""
    text, maximum = environment.get("DEMO_PORT", str(FIRST_PORT)), MAX_PORT + 1 - len(SERVICES) - OPS_PORT_OFFSET
    if not re.fullmatch("[0-9]{1,5}", text) or not 2 <= int(text) <= maximum:
        raise RunError(f"DEMO_PORT is {text!r}, not a port from 2 to {maximum}.")
    return int(text)


def service_ports(first_port: int) -> range:
    """One port for each service."""
    return range(first_port, first_port + len(SERVICES))


def demo_ports(first_port: int) -> list[int]:
    """All ports that the demo listens on: front door, services, issuer, and the services' ops listeners."""
    services, ops = service_ports(first_port), service_ports(first_port + OPS_PORT_OFFSET)
    return [front_door_port(first_port), *services, issuer_port(first_port), *ops]


def front_door_port(first_port: int) -> int:
    """The port below those of the services."""
    return first_port - 1


def issuer_port(first_port: int) -> int:
    """The port above those of the services."""
    return first_port + len(SERVICES)


def _check_ports(environment: Environment, root: Path) -> Problems:
    try:
        first_port = parse_first_port(environment)
    except RunError as error:
        yield str(error)
        return
    names = (FRONT_DOOR_FOLDER, *SERVICES, ISSUER_FOLDER, *SERVICES)
    folders = [root / ".attune" / "demo" / name for name in names]
    ports = dict(zip(demo_ports(first_port), folders, strict=True))
    # A process of an earlier demo is no problem: the start stops it, or names the demo that it belongs to.
    used = [str(port) for port, data in ports.items() if not is_free(port) and running_process(data) is None]
    if used:
        yield f"Another program uses port {', '.join(used)}. {OTHER_PORTS_HINT}"


def parse_switch(environment: Environment, name: str) -> bool:
    """Whether an option of the demo is on. Raises RunError if it is neither 1 nor 0."""
    text = environment.get(name) or "0"
    if text not in ("0", "1"):
        raise RunError(f"{name} is {text!r}, neither 1 nor 0.")
    return text == "1"


def _check_switches(environment: Environment, _root: Path) -> Problems:
    for name in SWITCHES:
        try:
            parse_switch(environment, name)
        except RunError as error:
            yield str(error)


def _check_disk(_environment: Environment, root: Path) -> Problems:
    required_mb = LATER_START_MB if (root / ".venv").exists() and (root / ".attune").exists() else FIRST_START_MB
    free_mb = shutil.disk_usage(root).free // 1_000_000
    if free_mb < required_mb:
        yield f"{root} has {free_mb} MB of free disk space, and the demo needs {required_mb} MB: free some."


if __name__ == "__main__":
    sys.exit(main())
