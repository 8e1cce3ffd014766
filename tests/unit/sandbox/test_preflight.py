"""Before `make demo` installs anything, it says in one line what is wrong, and what to do."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.sandbox import preflight
from tools.sandbox.preflight import find_problems
from tools.sandbox.servers import libraries, stack
from tools.sandbox.servers.ports import free_ports, is_free
from tools.sandbox.servers.process import PROJECT_ROOT


@pytest.fixture(autouse=True)
def suitable_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(libraries, "can_load", lambda _library: True)
    set_free_mb(monkeypatch, 100_000)


@pytest.fixture
def environment() -> dict[str, str]:
    """An environment in which nothing is wrong."""
    return {"DEMO_PORT": str(first_of_free_ports())}


@pytest.fixture
def listening_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_suitable_machine_has_no_problem(environment: dict[str, str], tmp_path: Path) -> None:
    assert find_problems(environment, tmp_path) == []


def test_another_platform_needs_servers_of_its_own(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listening_port: int
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    own_servers = {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{listening_port}",
        "MONGODB_URI": f"mongodb://127.0.0.1:{listening_port}/?replicaSet=rs0",
    }

    (problem,) = find_problems(environment, tmp_path)
    assert "docker compose up" in problem
    assert find_problems({**environment, **own_servers}, tmp_path) == []


def test_a_python_that_cannot_create_environments_is_named_with_the_package_to_install(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "find_spec", lambda _name: None)

    (problem,) = find_problems(environment, tmp_path)
    assert problem.endswith("apt-get install python{}.{}-venv".format(*sys.version_info))

    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    assert find_problems(environment, tmp_path) == []


def test_a_library_that_mongod_needs_is_named_with_the_package_to_install(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(libraries, "can_load", lambda library: library != "libcurl.so.4")

    (problem,) = find_problems(environment, tmp_path)
    assert "libcurl.so.4" in problem
    assert "apt-get install libcurl4" in problem

    (tmp_path / "mongod").touch(mode=0o755)  # an own mongod is used instead
    assert find_problems(environment, tmp_path) == []


@pytest.mark.parametrize("servers", ["", "kafka", "kafka:", "127.0.0.1:9092,kafka", "kafka:9092/topic"])
def test_kafka_servers_that_are_no_addresses_are_rejected(
    environment: dict[str, str], tmp_path: Path, servers: str
) -> None:
    (problem,) = find_problems({**environment, "KAFKA_BOOTSTRAP_SERVERS": servers}, tmp_path)

    assert problem.startswith("KAFKA_BOOTSTRAP_SERVERS is not of the form HOST:PORT")


@pytest.mark.parametrize("uri", ["", "127.0.0.1:27017", "http://127.0.0.1:27017", "mongodb://"])
def test_a_mongodb_uri_that_is_none_is_rejected(environment: dict[str, str], tmp_path: Path, uri: str) -> None:
    (problem,) = find_problems({**environment, "MONGODB_URI": uri}, tmp_path)

    assert problem.startswith("MONGODB_URI is not of the form mongodb://HOST:PORT")


def test_a_server_that_does_not_answer_is_named_without_its_password(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
        "MONGODB_URI": f"mongodb://ann:s@cret@127.0.0.1:{port}/?replicaSet=rs0",
    }

    kafka_problem, mongodb_problem = find_problems({**environment, **settings}, tmp_path)

    assert kafka_problem.startswith(f"KAFKA_BOOTSTRAP_SERVERS: nothing answers at 127.0.0.1:{port}. ")
    assert mongodb_problem.startswith(f"MONGODB_URI: nothing answers at 127.0.0.1:{port}. ")


@pytest.mark.parametrize("prefix", ["", "ann:secret@", "127.0.0.1:1,"])
def test_servers_of_which_one_answers_are_accepted(
    environment: dict[str, str], tmp_path: Path, listening_port: int, prefix: str
) -> None:
    uri = f"mongodb://{prefix}127.0.0.1:{listening_port}/attune?replicaSet=rs0"

    assert find_problems({**environment, "MONGODB_URI": uri}, tmp_path) == []


@pytest.mark.parametrize("port", ["", "web", "0", "1", "64533", "-1"])
def test_a_demo_port_that_is_no_port_is_rejected(tmp_path: Path, port: str) -> None:
    (problem,) = find_problems({"DEMO_PORT": port}, tmp_path)

    assert problem == f"DEMO_PORT is {port!r}, not a port from 2 to 64532."


def test_the_demo_without_a_preflight_says_in_one_line_that_a_port_is_none() -> None:
    environment = {"PATH": os.environ["PATH"], "DEMO_PORT": "abc"}

    demo = subprocess.run(
        [sys.executable, "-m", "tools.sandbox.demo"], env=environment, capture_output=True, text=True, check=False
    )

    assert (demo.returncode, demo.stdout) == (1, "")
    assert demo.stderr == "DEMO_PORT is 'abc', not a port from 2 to 64532.\n"


@pytest.mark.parametrize("offset", [-1, 3, 1003])
def test_a_port_that_another_program_uses_is_named_with_the_way_out(
    environment: dict[str, str], tmp_path: Path, offset: int
) -> None:
    port = int(environment["DEMO_PORT"]) + offset
    with socket.create_server(("127.0.0.1", port)):
        (problem,) = find_problems(environment, tmp_path)

    assert problem == f"Another program uses port {port}. Use other ports: DEMO_PORT=8101 make demo"


@pytest.mark.parametrize("name", ["DEMO_TLS", "DEMO_LAN"])
def test_a_switch_is_one_or_zero(environment: dict[str, str], tmp_path: Path, name: str) -> None:
    assert [find_problems({**environment, name: value}, tmp_path) for value in ("1", "0", "")] == [[], [], []]
    assert find_problems({**environment, name: "yes"}, tmp_path) == [f"{name} is 'yes', neither 1 nor 0."]


def test_a_port_of_an_earlier_demo_is_no_problem_because_the_start_deals_with_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    data = tmp_path / ".attune" / "demo" / "intake"
    data.mkdir(parents=True)
    listen = (
        "import socket, sys\n"
        "with socket.create_server(('127.0.0.1', int(sys.argv[1]))):\n"
        "    print('listening', flush=True)\n"
        "    sys.stdin.read()"
    )
    command = [sys.executable, "-c", listen, environment["DEMO_PORT"], str(data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as service:
        assert service.stdout is not None
        assert service.stdin is not None
        service.stdout.readline()
        (data / "pid").write_text(str(service.pid))

        assert find_problems(environment, tmp_path) == []
        service.stdin.close()


def test_too_little_disk_space_is_rejected_and_a_later_start_needs_less(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_free_mb(monkeypatch, 500)

    (problem,) = find_problems(environment, tmp_path)
    assert problem == f"{tmp_path} has 500 MB of free disk space, and the demo needs 1500 MB: free some."

    (tmp_path / ".venv").mkdir()
    (tmp_path / ".attune").mkdir()
    assert find_problems(environment, tmp_path) == []


def test_all_problems_are_shown_at_once_and_make_demo_installs_nothing(tmp_path: Path) -> None:
    for name in ("Makefile", "tools"):
        (tmp_path / name).symlink_to(PROJECT_ROOT / name)
    settings = {"DEMO_PORT": "web", "KAFKA_BOOTSTRAP_SERVERS": "kafka"}

    result = run_make("demo", tmp_path, {**os.environ, **settings})

    assert result.returncode == 2
    assert "nothing was installed" in result.stderr
    assert "\nKAFKA_BOOTSTRAP_SERVERS is not" in result.stderr
    assert "\nDEMO_PORT is 'web'" in result.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_python_that_is_too_old_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "Makefile").symlink_to(PROJECT_ROOT / "Makefile")
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    (tmp_path / "sh").symlink_to("/bin/sh")

    result = run_make("demo", tmp_path, {"PATH": str(tmp_path)})

    assert result.returncode == 2
    assert "Attune needs Python 3.11 or newer" in result.stderr


def test_the_preflight_knows_the_services() -> None:
    """It must not import the stack, which needs packages."""
    assert preflight.SERVICES == stack.SERVICES


def test_the_preflight_needs_no_packages() -> None:
    isolated = [sys.executable, "-S", "-c", "import tools.install, tools.sandbox.preflight"]

    assert subprocess.run(isolated, cwd=PROJECT_ROOT, check=False).returncode == 0


def run_make(target: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    make = shutil.which("make")
    assert make
    return subprocess.run([make, target], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def set_free_mb(monkeypatch: pytest.MonkeyPatch, megabytes: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=megabytes * 1_000_000))


def first_of_free_ports() -> int:
    """The first of the ports of a demo that are all free."""
    while True:
        (first,) = free_ports(1)
        if all(map(is_free, preflight.demo_ports(first))):
            return first
