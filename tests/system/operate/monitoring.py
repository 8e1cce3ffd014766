"""A real Prometheus and a real Alertmanager, their queries and their notifications."""

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
from tools.sandbox.network.receivers import ReceivedWebhook, run_webhook_server
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import PROJECT_ROOT, LocalServer, Report, RunError
from tools.sandbox.servers.stack import RunningStack

REQUIRED_PROGRAMS = {"prometheus": "prometheus", "promtool": "prometheus", "amtool": "prometheus-alertmanager"}
"""The required programs and the Debian packages that contain them."""
POLL_INTERVAL_SECONDS = 0.2


def missing_packages() -> list[str]:
    """The required Debian packages that are not installed."""
    packages = {package for program, package in REQUIRED_PROGRAMS.items() if shutil.which(program) is None}
    if _find_alertmanager() is None:
        packages.add("prometheus-alertmanager")
    return sorted(packages)


def _find_alertmanager() -> str | None:
    return shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


@dataclass(frozen=True)
class AlertNotification:
    """A notification about one alert that arrived at a receiver."""

    receiver: str
    alert: str
    labels: Mapping[str, str]
    is_firing: bool
    received_at: float


@dataclass(frozen=True)
class Monitoring:
    """The running monitoring servers and the notifications that they sent."""

    prometheus: LocalServer
    alertmanager: LocalServer
    lag: LocalServer
    received_webhooks: Sequence[ReceivedWebhook]

    def query(self, expression: str) -> list[Any]:
        """The current result of an expression. Raises RunError if Prometheus rejects the expression."""
        parameters = urllib.parse.urlencode({"query": expression})
        url = f"http://{self.prometheus.address}/api/v1/query?{parameters}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                results: list[Any] = json.load(response)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise RunError(f"{expression}: {error.read().decode()}") from error
        return results

    def notifications(self) -> list[AlertNotification]:
        """All notifications, in the order of arrival."""
        return [
            AlertNotification(
                webhook.path.strip("/"),
                alert["labels"]["alertname"],
                alert["labels"],
                alert["status"] == "firing",
                webhook.received_at.timestamp(),
            )
            for webhook in list(self.received_webhooks)
            for alert in json.loads(webhook.body)["alerts"]
        ]

    def firing_alerts(self) -> set[str]:
        """The names of the alerts that are firing now, according to Prometheus."""
        return {sample["metric"]["alertname"] for sample in self.query('ALERTS{alertstate="firing"}')}


@contextmanager
def run_monitoring(data: Path, attune: RunningStack, report: Report) -> Iterator[Monitoring]:
    """Monitor a stack with accelerated rules. Raises RunError."""
    prometheus_port, alertmanager_port, webhook_port, lag_port = free_ports(4)
    received_webhooks: list[ReceivedWebhook] = []
    data.mkdir()
    accelerated.write_rules(data / "rules")
    addresses = {name: url.removeprefix("http://") for name, url in attune.ops_urls.items()}
    targets = {**addresses, "lag": f"127.0.0.1:{lag_port}"}
    prometheus_config = accelerated.write_prometheus_config(
        data / "prometheus.yml", targets, f"127.0.0.1:{alertmanager_port}"
    )
    alertmanager_config = accelerated.write_alertmanager_config(
        data / "alertmanager.yml", f"http://127.0.0.1:{webhook_port}"
    )
    with ExitStack() as exit_stack:
        exit_stack.enter_context(run_webhook_server(webhook_port, received_webhooks))
        lag = exit_stack.enter_context(_lag_exporter(data / "lag", lag_port, attune.bootstrap_servers, report))
        alertmanager = exit_stack.enter_context(
            _monitoring_server(
                "Alertmanager",
                data / "alertmanager",
                alertmanager_port,
                _find_alertmanager() or "",
                alertmanager_config,
                report,
            )
        )
        prometheus = exit_stack.enter_context(
            _monitoring_server(
                "Prometheus", data / "prometheus", prometheus_port, "prometheus", prometheus_config, report
            )
        )
        yield Monitoring(prometheus, alertmanager, lag, received_webhooks)


def _monitoring_server(name: str, data: Path, port: int, program: str, config: Path, report: Report) -> LocalServer:
    extra_options = {
        # An alert that fired before Alertmanager was discovered is sent again after this time; by default a minute.
        "Prometheus": ("--rules.alert.resend-delay=3s", "--storage.tsdb.path", data / "db"),
        "Alertmanager": ("--cluster.listen-address=", "--storage.path", data / "db"),
    }[name]
    return LocalServer(
        name=name,
        address=f"127.0.0.1:{port}",
        command=[program, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}", *extra_options],
        data=data,
        port=port,
        is_ready=partial(_is_ready, f"http://127.0.0.1:{port}/-/ready"),
        report=report,
    )


def _lag_exporter(data: Path, port: int, bootstrap_servers: str, report: Report) -> LocalServer:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "OPS_PORT": port,
        "LAG_CHECK_SECONDS": 1,
        "PYTHONPATH": PROJECT_ROOT,
    }
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
        is_ready=partial(_is_ready, f"http://127.0.0.1:{port}/health/ready"),
        report=report,
    )


def _is_ready(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=5) as response:
        return bool(response.status == 200)


def check_rules(report: Report) -> None:
    """Check the rules, their tests and the routing with the tools of Prometheus. Raises RunError."""
    rules = sorted((accelerated.PROMETHEUS_FOLDER / "rules").glob("*.yml"))
    tests = sorted((accelerated.PROMETHEUS_FOLDER / "tests").glob("*.yml"))
    for command in (
        ["promtool", "check", "config", "--syntax-only", str(accelerated.PROMETHEUS_FOLDER / "prometheus.yml")],
        ["promtool", "check", "rules", *map(str, rules)],
        ["amtool", "check-config", str(accelerated.ALERTMANAGER_FILE)],
        ["promtool", "test", "rules", *map(str, tests)],
    ):
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        command_name = " ".join(map(str, command[:3]))
        if result.returncode:
            raise RunError(f"{command_name}:\n{result.stdout}{result.stderr}")
        report(f"ok     {command_name} ({len(command) - 3 or 1} files)")


def wait_until(condition: Any, timeout_seconds: float) -> float | None:
    """Seconds until the condition held; None if it did not."""
    started_at = time.monotonic()
    while not condition():
        if time.monotonic() - started_at > timeout_seconds:
            return None
        time.sleep(POLL_INTERVAL_SECONDS)  # rules, webhooks and processes do not notify about changes
    return time.monotonic() - started_at
