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
    if absent := missing():
        sys.exit(f"operate: needs Debian's packages {' and '.join(absent)}: apt-get install {' '.join(absent)}")
    begun, data = time.monotonic(), Path(tempfile.mkdtemp(prefix="attune-operate-"))
    checks = Checks(say)
    try:
        proven_alone(say)
        operate(data, checks)
    except CannotRun as error:
        checks.holds(str(error), False)
    except KeyboardInterrupt:
        shutil.rmtree(data)
        sys.exit("stopped; there is nothing to judge")
    say(f"{checks.passed} passed, {checks.failed} failed, in {time.monotonic() - begun:.0f} s")
    if checks.failed:
        say(f"logs: {data}/*/log, {data}/*/*/log")
    else:
        shutil.rmtree(data)
    sys.exit(1 if checks.failed else 0)


def operate(data: Path, checks: Checks) -> None:
    """All of it on a running Attune. Raises CannotRun."""
    mail_port, *ports = free_ports(1 + len(SERVICES))
    settings = {**SETTINGS, "SMTP_PORT": str(mail_port)}
    with ExitStack() as ends:
        attune = ends.enter_context(stack(data, dict(zip(SERVICES, ports, strict=True)), settings, say=say))
        watch = ends.enter_context(watching(data / "watch", attune, say))
        people = ends.enter_context(Clinicians(attune, mail_port))
        say(f"everything runs and is watched; rules are {accelerated.FASTER} times faster, thresholds as they are")
        people.begin()
        people.give_answers(8)
        everybody = until(lambda: len(watch.ask("up == 1")) == len(SERVICES) + 1, QUIET_WITHIN)
        checks.holds("everybody is asked, and answers", everybody is not None)
        until(lambda: watch.ask('attune_notify_alerts_waiting{status="open"} > 0'), QUIET_WITHIN)
        people.react()
        quiet = until(lambda: watch.firing() == {"Watchdog"}, QUIET_WITHIN)
        checks.holds("with nothing broken nobody is called", quiet is not None, ", ".join(sorted(watch.firing())))
        beats = until(lambda: {n.receiver for n in watch.notices() if n.alert == "Watchdog"} == {"heartbeat"}, 10)
        checks.holds("the watchdog arrives where it is waited for", beats is not None)
        until(lambda: not list(empty_panels(watch)), QUIET_WITHIN)
        checks.none("every panel of every dashboard shows something", list(empty_panels(watch)))
        seen = break_everything(watch, breakages(attune, people))
        judge(watch, seen, checks)
        operator = runbooks.Operator(attune, watch)
        follow(operator, checks)


def break_everything(watch: Watch, all_of_them: Sequence[Breakage]) -> list[Seen]:
    """One after the other; but what is unreadable is noticed slowly, and disturbs nobody meanwhile."""
    slow, *others = all_of_them
    with ThreadPoolExecutor(1) as beside:
        first = beside.submit(see, watch, slow)
        seen = [see(watch, breakage) for breakage in others[:-2]]
        seen.insert(0, first.result())
    return [*seen, *(see(watch, breakage) for breakage in others[-2:])]


def see(watch: Watch, breakage: Breakage) -> Seen:
    """Break it, wait until somebody is called, and mend it."""
    begun = time.time()
    breakage.do()
    try:
        fired = until(lambda: _arrived(watch, breakage.alert, firing=True, since=begun) is not None, FIRES_WITHIN)
    finally:
        breakage.mend()
    if fired is not None:
        fired = (_arrived(watch, breakage.alert, firing=True, since=begun) or begun) - begun
        say(f"       {breakage.what}: {breakage.alert} after {fired:.0f} s")
    return Seen(breakage, fired, time.time())


def judge(watch: Watch, seen: Sequence[Seen], checks: Checks) -> None:
    """Each called somebody, and each is over."""
    for one in seen:
        name, since = one.breakage.alert, one.mended_at
        left = max(1.0, since + RESOLVES_WITHIN - time.time())
        over = until(lambda n=name, s=since: _arrived(watch, n, firing=False, since=s) is not None, left)
        ended = _arrived(watch, name, firing=False, since=since)
        held = one.fired is not None and over is not None and ended is not None
        figures = f"after {one.fired or 0:.0f} s, over {(ended or since) - since:.0f} s after it was mended"
        checks.holds(f"{one.breakage.what}: {name} fires and resolves", held, figures if held else "")
    others = {notice.alert for notice in watch.notices()} - {one.breakage.alert for one in seen} - {"Watchdog"}
    say(f"       beside these came: {', '.join(sorted(others)) or 'nothing'}")
    quiet = until(lambda: watch.firing() <= {"Watchdog", *shortened_for_long()}, QUIET_WITHIN)
    checks.holds("in the end nobody is called any more", quiet is not None, ", ".join(sorted(watch.firing())))


def shortened_for_long() -> set[str]:
    """Objectives look back over up to three days, which is hours here."""
    return {"FeedbackScoredLate", "UrgentAlertsLate"}


def follow(operator: runbooks.Operator, checks: Checks) -> None:
    """Do what the runbooks say."""
    wrong, done = [], 0
    for runbook, command in runbooks.commands():
        done += 1
        try:
            operator.run(command)
        except (CannotRun, KeyError) as error:
            wrong.append(f"{runbook}: {command}: {error}")
    checks.none("every command of every runbook works", wrong, f"{done} commands")


def empty_panels(watch: Watch) -> Iterator[str]:
    """Expressions of dashboards that show nothing, though everything has happened."""
    for file in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                expression = target["expr"]
                if not watch.ask(expression) and not any(
                    part in expression for part in (*ONLY_AFTER_ERRORS, NOTHING_FIRES)
                ):
                    yield f"{file.name}: {panel['title']}: {expression}"


def _arrived(watch: Watch, alert: str, *, firing: bool, since: float) -> float | None:
    """When somebody was first told of it."""
    found = (n.at for n in watch.notices() if (n.alert, n.firing) == (alert, firing) and n.at >= since)
    return next(found, None)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
