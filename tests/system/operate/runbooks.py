"""Runs every command of every runbook against the running stack.

A `docker compose` command is applied to the local processes instead of containers: it restarts a process, shows a log,
or runs a program with the environment of a service. `make compose-test` runs the same commands with real containers.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator

from tests.system.operate.monitoring import Monitoring
from tools.sandbox.servers.process import PROJECT_ROOT, LocalServer, RunError
from tools.sandbox.servers.stack import RunningStack

RUNBOOKS_FOLDER = PROJECT_ROOT / "docs" / "runbooks"
OPS_PORTS = {"intake": 9001, "sessions": 9002, "alliance": 9003, "notify": 9004}
"""Ports on the host, as docker-compose.yml publishes them."""
SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIST_COMMAND = "docker compose exec {} python -m services.{} dead-letters list --all --json"


def read_commands() -> Iterator[tuple[str, str]]:
    """Each different command of the runbooks, with the name of the first runbook that contains it."""
    yielded = set()
    for file in sorted(RUNBOOKS_FOLDER.glob("*.md")):
        for block in SHELL_BLOCK.findall(file.read_text(encoding="utf-8")):
            for command in block.replace("\\\n", " ").splitlines():
                if command.strip() and command not in yielded:
                    yielded.add(command)
                    yield file.name, command


class OperatorShell:
    """Runs the commands that an operator would type into a shell."""

    def __init__(self, attune: RunningStack, monitoring: Monitoring) -> None:
        self._attune = attune
        self._monitoring = monitoring
        self._servers: dict[str, LocalServer] = {
            **{service.name: service for service in attune.services},
            "kafka": next(store for store in attune.servers if store.name == "Kafka"),
            "mongo": next(store for store in attune.servers if store.name == "MongoDB"),
            "prometheus": monitoring.prometheus,
            "alertmanager": monitoring.alertmanager,
            "lag": monitoring.lag,
        }

    def run(self, command: str) -> str:
        """Run a command and return its output. Raises RunError if it fails or is not supported."""
        match [self._substitute_origin(word, command) for word in shlex.split(command)]:
            case ["docker", "compose", "ps", *_]:
                return "\n".join(
                    f"{server.name} {'exited' if server.has_exited else 'running'}" for server in self._servers.values()
                )
            case ["docker", "compose", "logs", "--since", _, name]:
                return self._servers[name].log_file.read_text(errors="replace")[-2000:]
            case ["docker", "compose", "restart", name]:
                self._servers[name].stop()
                self._servers[name].start()
                return "restarted"
            case ["docker", "compose", "run", "--rm", "topics"]:
                return self._run_program(["env", *self._environment_of("intake"), "python", "-m", "deploy.jobs.topics"])
            case ["docker", "compose", "exec", name, *program]:
                return self._run_program([*self._environment_prefix(name), *program])
            case ["curl" | "df", *_] as program:
                return self._run_program(program)
        raise RunError(f"unsupported command: {command}")

    def _substitute_origin(self, word: str, command: str) -> str:
        """Replace the placeholder ORIGIN by the origin of the first listed dead letter."""
        if word != "ORIGIN":
            return word
        service = shlex.split(command)[3]
        dead_letters = json.loads(self.run(LIST_COMMAND.format(service, service)))
        return str(dead_letters[0]["origin"])

    def _environment_prefix(self, name: str) -> list[str]:
        return ["env", *self._environment_of(name)] if name in OPS_PORTS else []

    def _environment_of(self, name: str) -> list[str]:
        return [str(part) for part in self._servers[name].command if "=" in str(part) and str(part)[0].isupper()]

    def _run_program(self, program: list[str]) -> str:
        result = subprocess.run(
            [self._to_local(part) for part in program], capture_output=True, text=True, timeout=60, check=False
        )
        if result.returncode:
            raise RunError(f"{shlex.join(program)}: exit code {result.returncode}: {result.stdout}{result.stderr}")
        return result.stdout

    def _to_local(self, word: str) -> str:
        """Replace programs and addresses of the compose project by the local ones."""
        if word == "python":
            return next(str(part) for part in self._servers["intake"].command if str(part).endswith("python"))
        word = word.replace("127.0.0.1:9090", self._monitoring.prometheus.address)
        for name, port in OPS_PORTS.items():
            word = word.replace(f"127.0.0.1:{port}", self._attune.ops_urls[name].removeprefix("http://"))
        return word
