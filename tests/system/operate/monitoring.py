"""A real Prometheus and a real Alertmanager, and what they say."""

import json
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.system.operate import accelerated
from tools.sandbox.network.receivers import Hook, web_server
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import HOME, CannotRun, LocalServer, Say
from tools.sandbox.servers.stack import Stack

NEEDED = {"prometheus": "prometheus", "promtool": "prometheus", "amtool": "prometheus-alertmanager"}
"""What is called, and Debian's package that has it."""
LOOK_EVERY = 0.2


def missing() -> list[str]:
    """Debian's packages that are wanted and not installed."""
    packages = {package for program, package in NEEDED.items() if shutil.which(program) is None}
    if _alertmanager() is None:
        packages.add("prometheus-alertmanager")
    return sorted(packages)


def _alertmanager() -> str | None:
    return shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


@dataclass(frozen=True)
class Notice:
    """What arrived at a receiver about one alert."""

    receiver: str
    alert: str
    labels: Mapping[str, str]
    firing: bool
    at: float


@dataclass(frozen=True)
class Watch:
    """Those who watch."""

    prometheus: LocalServer
    alertmanager: LocalServer
    lag: LocalServer
    hooks: Sequence[Hook]

    def ask(self, expression: str) -> list[Any]:
        """What an expression gives now. Raises CannotRun when Prometheus cannot make sense of it."""
        parameters = urllib.parse.urlencode({"query": expression})
        url = f"http://{self.prometheus.address}/api/v1/query?{parameters}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                results: list[Any] = json.load(response)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise CannotRun(f"{expression}: {error.read().decode()}") from error
        return results

    def notices(self) -> list[Notice]:
        """All that arrived, in the order in which it did."""
        return [
            Notice(
                webhook.path.strip("/"),
                alert["labels"]["alertname"],
                alert["labels"],
                alert["status"] == "firing",
                webhook.at.timestamp(),
            )
            for webhook in list(self.hooks)
            for alert in json.loads(webhook.body)["alerts"]
        ]

    def firing(self) -> set[str]:
        """The alerts that fire now, as Prometheus says."""
        return {sample["metric"]["alertname"] for sample in self.ask('ALERTS{alertstate="firing"}')}


@contextmanager
def watching(data: Path, attune: Stack, say: Say) -> Iterator[Watch]:
    """Watch a stack, on a faster clock. Raises CannotRun."""
    prometheus_port, alertmanager_port, webhook_port, lag_port = free_ports(4)
    received_webhooks: list[Hook] = []
    data.mkdir()
    accelerated.rules(data / "rules")
    addresses = {name: url.removeprefix("http://") for name, url in attune.urls.items()}
    targets = {**addresses, "lag": f"127.0.0.1:{lag_port}"}
    prometheus_config = accelerated.prometheus(data / "prometheus.yml", targets, f"127.0.0.1:{alertmanager_port}")
    alertmanager_config = accelerated.alertmanager(data / "alertmanager.yml", f"http://127.0.0.1:{webhook_port}")
    with ExitStack() as exit_stack:
        exit_stack.enter_context(web_server(webhook_port, received_webhooks))
        lag = exit_stack.enter_context(_lag(data / "lag", lag_port, attune.kafka, say))
        alertmanager = exit_stack.enter_context(
            _server(
                "Alertmanager",
                data / "alertmanager",
                alertmanager_port,
                _alertmanager() or "",
                alertmanager_config,
                say,
            )
        )
        prometheus = exit_stack.enter_context(
            _server("Prometheus", data / "prometheus", prometheus_port, "prometheus", prometheus_config, say)
        )
        yield Watch(prometheus, alertmanager, lag, received_webhooks)


def _server(name: str, data: Path, port: int, program: str, config: Path, say: Say) -> LocalServer:
    extra_options = {
        # An alert that began before Alertmanager was found is told again after this; else after a minute.
        "Prometheus": ("--rules.alert.resend-delay=3s", "--storage.tsdb.path", data / "db"),
        "Alertmanager": ("--cluster.listen-address=", "--storage.path", data / "db"),
    }[name]
    return LocalServer(
        name=name,
        address=f"127.0.0.1:{port}",
        command=[program, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}", *extra_options],
        data=data,
        port=port,
        answers=partial(_answers, f"http://127.0.0.1:{port}/-/ready"),
        say=say,
    )


def _lag(data: Path, port: int, kafka: str, say: Say) -> LocalServer:
    environment = {"KAFKA_BOOTSTRAP_SERVERS": kafka, "HTTP_PORT": port, "LAG_CHECK_SECONDS": 1, "PYTHONPATH": HOME}
    python = (sys.executable, "-X", f"data={data}")
    return LocalServer(
        name="lag",
        address=f"127.0.0.1:{port}",
        command=[
            "env",
            *(f"{key}={value}" for key, value in environment.items()),
            *python,
            "-m",
            "deploy.jobs.lag_exporter",
        ],
        data=data,
        port=port,
        answers=partial(_answers, f"http://127.0.0.1:{port}/health/ready"),
        say=say,
    )


def _answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=5) as response:
        return bool(response.status == 200)


def proven_alone(say: Say) -> None:
    """The rules, their tests and the routing, by Prometheus's own tools. Raises CannotRun."""
    rules = sorted((accelerated.PROMETHEUS / "rules").glob("*.yml"))
    tests = sorted((accelerated.PROMETHEUS / "tests").glob("*.yml"))
    for command in (
        ["promtool", "check", "config", "--syntax-only", str(accelerated.PROMETHEUS / "prometheus.yml")],
        ["promtool", "check", "rules", *map(str, rules)],
        ["amtool", "check-config", str(accelerated.ALERTMANAGER)],
        ["promtool", "test", "rules", *map(str, tests)],
    ):
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        command_name = " ".join(map(str, command[:3]))
        if result.returncode:
            raise CannotRun(f"{command_name}:\n{result.stdout}{result.stderr}")
        say(f"ok     {command_name} ({len(command) - 3 or 1} files)")


def until(condition: Any, within: float) -> float | None:
    """Seconds until it held; none when it did not come to hold."""
    started_at = time.monotonic()
    while not condition():
        if time.monotonic() - started_at > within:
            return None
        time.sleep(LOOK_EVERY)  # what is looked at (a rule, a webhook, a process) tells nobody when it changes
    return time.monotonic() - started_at
