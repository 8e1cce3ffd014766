"""`python -m tests.system.operate`: test the rules with promtool, then cause outages and check which alerts fire."""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.system.operate import accelerated, runbooks
from tests.system.operate.monitoring import Monitoring, check_rules, missing_packages, run_monitoring, wait_until
from tests.system.operate.outages import ClinicianSimulator, Outage, create_outages
from tests.system.support.checks import Checks
from tools.sandbox.network.receivers import receiver_settings
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import PROJECT_ROOT, RunError
from tools.sandbox.servers.signals import interrupt_on_sigterm
from tools.sandbox.servers.stack import SERVICES, run_stack

FIRE_TIMEOUT_SECONDS = RESOLVE_TIMEOUT_SECONDS = 150.0
"""The machine may be busy."""
QUIET_TIMEOUT_SECONDS = 90.0
SERVICE_SETTINGS = {"DELIVERY_RETRY_SECONDS": "1"}
DASHBOARDS_FOLDER = PROJECT_ROOT / "deploy" / "grafana" / "dashboards"
ERROR_ONLY_METRICS = ("attune_mongodb_command_errors_total", "attune_batch_retries_total")
"""Metrics on dashboards that need not have any samples."""
FIRING_ALERTS_SELECTOR = 'alertname!="Watchdog"'


@dataclass(frozen=True)
class OutageResult:
    """An outage, when its alert fired, and when it was removed (Unix time)."""

    outage: Outage
    fired_after_seconds: float | None
    restored_at: float


def main() -> None:
    interrupt_on_sigterm()
    if packages := missing_packages():
        sys.exit(f"operate: missing Debian packages: apt-get install {' '.join(packages)}")
    started_at, data = time.monotonic(), Path(tempfile.mkdtemp(prefix="attune-operate-"))
    checks = Checks(report)
    try:
        check_rules(report)
        run_checks(data, checks)
    except RunError as error:
        checks.expect(str(error), False)
    except KeyboardInterrupt:
        shutil.rmtree(data)
        sys.exit("stopped; nothing was checked")
    report(f"{checks.passed} passed, {checks.failed} failed, in {time.monotonic() - started_at:.0f} s")
    if checks.failed:
        report(f"logs: {data}/*/log, {data}/*/*/log")
    else:
        shutil.rmtree(data)
    sys.exit(1 if checks.failed else 0)


def run_checks(data: Path, checks: Checks) -> None:
    """Run all checks on a running Attune. Raises RunError."""
    smtp_port, *ports = free_ports(1 + len(SERVICES))
    settings = {**SERVICE_SETTINGS, **receiver_settings(smtp_port)}
    with ExitStack() as exit_stack:
        attune = exit_stack.enter_context(
            run_stack(
                data,
                dict(zip(SERVICES, ports, strict=True)),
                settings,
                service_module="tests.system.operate.service",
                report=report,
            )
        )
        monitoring = exit_stack.enter_context(run_monitoring(data / "watch", attune, report))
        clinicians = exit_stack.enter_context(ClinicianSimulator(attune, smtp_port))
        report(
            "all services are running and monitored; "
            f"rules run {accelerated.SPEEDUP} times faster with unchanged thresholds"
        )
        clinicians.prepare()
        clinicians.submit_answers(8)
        check_quiet(monitoring, clinicians, checks)
        results = [run_outage(monitoring, outage) for outage in create_outages(attune, clinicians)]
        check_results(monitoring, results, checks)
        operator = runbooks.OperatorShell(attune, monitoring)
        check_runbooks(operator, checks)


def check_quiet(monitoring: Monitoring, clinicians: ClinicianSimulator, checks: Checks) -> None:
    """Check that without a fault everything is scraped and shown, and no alert fires but the watchdog."""
    all_up_after = wait_until(lambda: len(monitoring.query("up == 1")) == len(SERVICES) + 1, QUIET_TIMEOUT_SECONDS)
    checks.expect("every target is scraped and up", all_up_after is not None)
    wait_until(lambda: monitoring.query('attune_notify_active_alerts{status="open"} > 0'), QUIET_TIMEOUT_SECONDS)
    clinicians.handle_alerts()
    quiet_after = wait_until(lambda: monitoring.firing_alerts() == {"Watchdog"}, QUIET_TIMEOUT_SECONDS)
    checks.expect(
        "no alert fires without a fault", quiet_after is not None, ", ".join(sorted(monitoring.firing_alerts()))
    )
    heartbeat_after = wait_until(lambda: _watchdog_receivers(monitoring) == {"heartbeat"}, 10)
    checks.expect("the watchdog reaches the heartbeat receiver", heartbeat_after is not None)
    wait_until(lambda: not list(find_empty_panels(monitoring)), QUIET_TIMEOUT_SECONDS)
    checks.expect_none("every dashboard panel shows data", list(find_empty_panels(monitoring)))


def _watchdog_receivers(monitoring: Monitoring) -> set[str]:
    return {notification.receiver for notification in monitoring.notifications() if notification.alert == "Watchdog"}


def run_outage(monitoring: Monitoring, outage: Outage) -> OutageResult:
    """Cause an outage, wait until its alert fires, and restore everything."""
    started_at = time.time()
    outage.cause()
    try:
        fired_after = wait_until(
            lambda: _notified_at(monitoring, outage.alert, firing=True, since=started_at) is not None,
            FIRE_TIMEOUT_SECONDS,
        )
    finally:
        outage.restore()
    if fired_after is not None:
        fired_after = (_notified_at(monitoring, outage.alert, firing=True, since=started_at) or started_at) - started_at
        report(f"       {outage.description}: {outage.alert} after {fired_after:.0f} s")
    return OutageResult(outage, fired_after, time.time())


def check_results(monitoring: Monitoring, results: Sequence[OutageResult], checks: Checks) -> None:
    """Check that the alert of every outage fired and resolved."""
    for result in results:
        name, since = result.outage.alert, result.restored_at
        remaining_seconds = max(1.0, since + RESOLVE_TIMEOUT_SECONDS - time.time())
        resolved_after = wait_until(
            lambda alert=name, start=since: _notified_at(monitoring, alert, firing=False, since=start) is not None,
            remaining_seconds,
        )
        resolved_at = _notified_at(monitoring, name, firing=False, since=since)
        is_complete = result.fired_after_seconds is not None and resolved_after is not None and resolved_at is not None
        figures = (
            f"fired after {result.fired_after_seconds or 0:.0f} s, "
            f"resolved {(resolved_at or since) - since:.0f} s after the fault was removed"
        )
        checks.expect(
            f"{result.outage.description}: {name} fires and resolves", is_complete, figures if is_complete else ""
        )
    other_alerts = (
        {notification.alert for notification in monitoring.notifications()}
        - {result.outage.alert for result in results}
        - {"Watchdog"}
    )
    report(f"       other alerts: {', '.join(sorted(other_alerts)) or 'none'}")
    quiet_after = wait_until(
        lambda: monitoring.firing_alerts() <= {"Watchdog", *long_window_alerts()}, QUIET_TIMEOUT_SECONDS
    )
    checks.expect("no alert fires at the end", quiet_after is not None, ", ".join(sorted(monitoring.firing_alerts())))


def long_window_alerts() -> set[str]:
    """Alerts on objectives look back up to three days, which is hours even here."""
    return {"FeedbackScoredLate", "UrgentAlertsLate"}


def check_runbooks(operator: runbooks.OperatorShell, checks: Checks) -> None:
    """Run every command of the runbooks."""
    problems, command_count = [], 0
    for runbook, command in runbooks.read_commands():
        command_count += 1
        try:
            operator.run(command)
        except (RunError, KeyError) as error:
            problems.append(f"{runbook}: {command}: {error}")
    checks.expect_none("every command of every runbook works", problems, f"{command_count} commands")


def find_empty_panels(monitoring: Monitoring) -> Iterator[str]:
    """Expressions of dashboards without data, although everything has happened."""
    for file in sorted(DASHBOARDS_FOLDER.glob("*.json")):
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                expression = target["expr"]
                if not monitoring.query(expression) and not any(
                    part in expression for part in (*ERROR_ONLY_METRICS, FIRING_ALERTS_SELECTOR)
                ):
                    yield f"{file.name}: {panel['title']}: {expression}"


def _notified_at(monitoring: Monitoring, alert: str, *, firing: bool, since: float) -> float | None:
    """When the first notification about it arrived."""
    times = (
        notification.received_at
        for notification in monitoring.notifications()
        if (notification.alert, notification.is_firing) == (alert, firing) and notification.received_at >= since
    )
    return next(times, None)


def report(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
