"""Every command of every runbook, run against the running stack.

What begins with `docker compose` is done here to the processes of this machine in place of containers: a
restart is a restart, a log is a log, a program that is run in a container is run. `make compose-test` runs compose.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator

from tests.system.operate.monitoring import Watch
from tools.sandbox.servers.process import HOME, CannotRun, LocalServer
from tools.sandbox.servers.stack import Stack

RUNBOOKS = HOME / "docs" / "runbooks"
PUBLISHED = {"intake": 8001, "sessions": 8002, "alliance": 8003, "notify": 8004}
"""Ports on the host, as docker-compose.yml publishes them."""
FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIST = "docker compose exec {} python -m services.{} dead-letters list --all --json"


def commands() -> Iterator[tuple[str, str]]:
    """Each command of each runbook, with the runbook's name; the same one is run once."""
    yielded = set()
    for file in sorted(RUNBOOKS.glob("*.md")):
        for block in FENCE.findall(file.read_text(encoding="utf-8")):
            for command in block.replace("\\\n", " ").splitlines():
                if command.strip() and command not in yielded:
                    yielded.add(command)
                    yield file.name, command


class Operator:
    """Somebody at three in the morning, with a shell."""

    def __init__(self, attune: Stack, monitoring: Watch) -> None:
        self._attune = attune
        self._watch = monitoring
        self._servers: dict[str, LocalServer] = {
            **{service.name: service for service in attune.services},
            "kafka": next(store for store in attune.servers if store.name == "Kafka"),
            "mongo": next(store for store in attune.servers if store.name == "MongoDB"),
            "prometheus": monitoring.prometheus,
            "alertmanager": monitoring.alertmanager,
            "lag": monitoring.lag,
        }

    def run(self, command: str) -> str:
        """What it prints. Raises CannotRun when it fails, or is none that anybody here can run."""
        match [self._origin(word, command) for word in shlex.split(command)]:
            case ["docker", "compose", "ps", *_]:
                return "\n".join(
                    f"{server.name} {'ended' if server.has_ended else 'runs'}" for server in self._servers.values()
                )
            case ["docker", "compose", "logs", "--since", _, name]:
                return self._servers[name].log.read_text(errors="replace")[-2000:]
            case ["docker", "compose", "restart", name]:
                self._servers[name].stop()
                self._servers[name].start()
                return "restarted"
            case ["docker", "compose", "run", "--rm", "topics"]:
                return self._run(["env", *self._environment("intake"), "python", "-m", "deploy.jobs.topics"])
            case ["docker", "compose", "exec", name, *program]:
                return self._run([*self._inside(name), *program])
            case ["curl" | "df", *_] as program:
                return self._run(program)
        raise CannotRun(f"nobody here can run: {command}")

    def _origin(self, word: str, command: str) -> str:
        """For ORIGIN, which a runbook has in place of a letter that the list shows: the first of them."""
        if word != "ORIGIN":
            return word
        service = shlex.split(command)[3]
        dead_letters = json.loads(self.run(LIST.format(service, service)))
        return str(dead_letters[0]["origin"])

    def _inside(self, name: str) -> list[str]:
        return ["env", *self._environment(name)] if name in PUBLISHED else []

    def _environment(self, name: str) -> list[str]:
        return [str(part) for part in self._servers[name].command if "=" in str(part) and str(part)[0].isupper()]

    def _run(self, program: list[str]) -> str:
        result = subprocess.run(
            [self._here(part) for part in program], capture_output=True, text=True, timeout=60, check=False
        )
        if result.returncode:
            raise CannotRun(f"{shlex.join(program)} ended with {result.returncode}: {result.stdout}{result.stderr}")
        return result.stdout

    def _here(self, word: str) -> str:
        """Where things are here, and not where compose publishes them."""
        if word == "python":
            return next(str(part) for part in self._servers["intake"].command if str(part).endswith("python"))
        word = word.replace("127.0.0.1:9090", self._watch.prometheus.address)
        for name, port in PUBLISHED.items():
            word = word.replace(f"127.0.0.1:{port}", self._servers[name].address)
        return word
