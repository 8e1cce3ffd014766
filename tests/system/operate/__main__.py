"""`python -m tests.system.operate`: prove the rules by promtool, then break a running Attune and see who is called."""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.system.operate import accelerated, runbooks
from tests.system.operate.monitoring import Watch, missing, proven_alone, until, watching
from tests.system.operate.outages import Breakage, Clinicians, breakages
from tests.system.support.checks import Checks
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import HOME, CannotRun
from tools.sandbox.servers.signals import end_on_sigterm
from tools.sandbox.servers.stack import SERVICES, stack

FIRES_WITHIN = RESOLVES_WITHIN = 150.0
"""Seconds; letters are counted once a minute, and a machine may be busy."""
QUIET_WITHIN = 90.0
SETTINGS = {"DELIVERY_RETRY_SECONDS": "1", "SMTP_HOST": "127.0.0.1"}
DASHBOARDS = HOME / "deploy" / "grafana" / "dashboards"
ONLY_AFTER_ERRORS = ("attune_mongodb_command_errors_total", "attune_batch_retries_total")
"""What dashboards ask of things that need not have happened."""
NOTHING_FIRES = 'alertname!="Watchdog"'


@dataclass(frozen=True)
class Seen:
    """One thing that was broken, and what came of it, in seconds."""

    breakage: Breakage
    fired: float | None
    mended_at: float


def main() -> None:
    end_on_sigterm()
    if packages := missing():
        sys.exit(f"operate: needs Debian's packages {' and '.join(packages)}: apt-get install {' '.join(packages)}")
    started_at, data = time.monotonic(), Path(tempfile.mkdtemp(prefix="attune-operate-"))
    checks = Checks(say)
    try:
        proven_alone(say)
        operate(data, checks)
    except CannotRun as error:
        checks.holds(str(error), False)
    except KeyboardInterrupt:
        shutil.rmtree(data)
        sys.exit("stopped; there is nothing to judge")
    say(f"{checks.passed} passed, {checks.failed} failed, in {time.monotonic() - started_at:.0f} s")
    if checks.failed:
        say(f"logs: {data}/*/log, {data}/*/*/log")
    else:
        shutil.rmtree(data)
    sys.exit(1 if checks.failed else 0)


def operate(data: Path, checks: Checks) -> None:
    """All of it on a running Attune. Raises CannotRun."""
    smtp_port, *ports = free_ports(1 + len(SERVICES))
    settings = {**SETTINGS, "SMTP_PORT": str(smtp_port)}
    with ExitStack() as exit_stack:
        attune = exit_stack.enter_context(stack(data, dict(zip(SERVICES, ports, strict=True)), settings, say=say))
        monitoring = exit_stack.enter_context(watching(data / "watch", attune, say))
        clinicians = exit_stack.enter_context(Clinicians(attune, smtp_port))
        say(f"everything runs and is watched; rules are {accelerated.FASTER} times faster, thresholds as they are")
        clinicians.begin()
        clinicians.give_answers(8)
        all_up_after = until(lambda: len(monitoring.ask("up == 1")) == len(SERVICES) + 1, QUIET_WITHIN)
        checks.holds("everybody is asked, and answers", all_up_after is not None)
        until(lambda: monitoring.ask('attune_notify_alerts_waiting{status="open"} > 0'), QUIET_WITHIN)
        clinicians.react()
        quiet_after = until(lambda: monitoring.firing() == {"Watchdog"}, QUIET_WITHIN)
        checks.holds(
            "with nothing broken nobody is called", quiet_after is not None, ", ".join(sorted(monitoring.firing()))
        )
        heartbeat_after = until(
            lambda: (
                {notification.receiver for notification in monitoring.notices() if notification.alert == "Watchdog"}
                == {"heartbeat"}
            ),
            10,
        )
        checks.holds("the watchdog arrives where it is waited for", heartbeat_after is not None)
        until(lambda: not list(empty_panels(monitoring)), QUIET_WITHIN)
        checks.none("every panel of every dashboard shows something", list(empty_panels(monitoring)))
        results = break_everything(monitoring, breakages(attune, clinicians))
        judge(monitoring, results, checks)
        operator = runbooks.Operator(attune, monitoring)
        follow(operator, checks)


def break_everything(monitoring: Watch, outages: Sequence[Breakage]) -> list[Seen]:
    """One after the other; but what is unreadable is noticed slowly, and disturbs nobody meanwhile."""
    slow, *others = outages
    with ThreadPoolExecutor(1) as executor:
        slow_result = executor.submit(see, monitoring, slow)
        results = [see(monitoring, outage) for outage in others[:-2]]
        results.insert(0, slow_result.result())
    return [*results, *(see(monitoring, outage) for outage in others[-2:])]


def see(monitoring: Watch, outage: Breakage) -> Seen:
    """Break it, wait until somebody is called, and mend it."""
    started_at = time.time()
    outage.do()
    try:
        fired_after = until(
            lambda: _arrived(monitoring, outage.alert, firing=True, since=started_at) is not None, FIRES_WITHIN
        )
    finally:
        outage.mend()
    if fired_after is not None:
        fired_after = (_arrived(monitoring, outage.alert, firing=True, since=started_at) or started_at) - started_at
        say(f"       {outage.what}: {outage.alert} after {fired_after:.0f} s")
    return Seen(outage, fired_after, time.time())


def judge(monitoring: Watch, seen: Sequence[Seen], checks: Checks) -> None:
    """Each called somebody, and each is over."""
    for result in seen:
        name, since = result.breakage.alert, result.mended_at
        remaining_seconds = max(1.0, since + RESOLVES_WITHIN - time.time())
        resolved_after = until(
            lambda alert=name, start=since: _arrived(monitoring, alert, firing=False, since=start) is not None,
            remaining_seconds,
        )
        resolved_at = _arrived(monitoring, name, firing=False, since=since)
        is_complete = result.fired is not None and resolved_after is not None and resolved_at is not None
        figures = f"after {result.fired or 0:.0f} s, over {(resolved_at or since) - since:.0f} s after it was mended"
        checks.holds(f"{result.breakage.what}: {name} fires and resolves", is_complete, figures if is_complete else "")
    other_alerts = (
        {notification.alert for notification in monitoring.notices()}
        - {result.breakage.alert for result in seen}
        - {"Watchdog"}
    )
    say(f"       beside these came: {', '.join(sorted(other_alerts)) or 'nothing'}")
    quiet_after = until(lambda: monitoring.firing() <= {"Watchdog", *shortened_for_long()}, QUIET_WITHIN)
    checks.holds(
        "in the end nobody is called any more", quiet_after is not None, ", ".join(sorted(monitoring.firing()))
    )


def shortened_for_long() -> set[str]:
    """Objectives look back over up to three days, which is hours here."""
    return {"FeedbackScoredLate", "UrgentAlertsLate"}


def follow(operator: runbooks.Operator, checks: Checks) -> None:
    """Do what the runbooks say."""
    problems, command_count = [], 0
    for runbook, command in runbooks.commands():
        command_count += 1
        try:
            operator.run(command)
        except (CannotRun, KeyError) as error:
            problems.append(f"{runbook}: {command}: {error}")
    checks.none("every command of every runbook works", problems, f"{command_count} commands")


def empty_panels(monitoring: Watch) -> Iterator[str]:
    """Expressions of dashboards that show nothing, though everything has happened."""
    for file in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                expression = target["expr"]
                if not monitoring.ask(expression) and not any(
                    part in expression for part in (*ONLY_AFTER_ERRORS, NOTHING_FIRES)
                ):
                    yield f"{file.name}: {panel['title']}: {expression}"


def _arrived(monitoring: Watch, alert: str, *, firing: bool, since: float) -> float | None:
    """When somebody was first told of it."""
    times = (
        notification.at
        for notification in monitoring.notices()
        if (notification.alert, notification.firing) == (alert, firing) and notification.at >= since
    )
    return next(times, None)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
