"""`python -m tests.system.smoke`: start everything on fresh data, use it, stop it, and check the result."""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack
from pathlib import Path

from tests.system.smoke.run import SmokeRun
from tests.system.support.checks import MAX_EXAMPLES, Checks
from tools.sandbox.network.receivers import (
    ReceivedEmail,
    ReceivedWebhook,
    receiver_settings,
    run_smtp_server,
    run_webhook_server,
)
from tools.sandbox.servers.inspection import memory_mb
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import LocalServer, RunError
from tools.sandbox.servers.reporting import report, show_logs
from tools.sandbox.servers.signals import interrupt_on_sigterm
from tools.sandbox.servers.stack import SERVICES, run_stack

SHUTDOWN_LIMIT_SECONDS = 10.0  # after which container engines kill a process


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.system.smoke", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulated network")
    parser.add_argument("--keep", action="store_true", help="keep data and logs even if all checks pass")
    args = parser.parse_args()
    interrupt_on_sigterm()
    started_at, data = time.monotonic(), Path(tempfile.mkdtemp(prefix="attune-smoke-"))
    checks = Checks(report)
    try:
        run_smoke_test(data, args.seed, checks)
    except RunError as error:
        checks.expect("all servers start", False)
        report(str(error))
    except KeyboardInterrupt:
        shutil.rmtree(data)
        sys.exit("stopped; nothing was checked")
    report(f"{checks.passed} passed, {checks.failed} failed, in {time.monotonic() - started_at:.0f} s")
    if checks.failed:
        show_logs(data)
    elif not args.keep:
        shutil.rmtree(data)
    sys.exit(1 if checks.failed else 0)


def run_smoke_test(data: Path, seed: int, checks: Checks) -> None:
    """Run the whole test. Raises RunError."""
    smtp_port, webhook_port, *ports = free_ports(2 + len(SERVICES))
    received_emails, received_webhooks = list[ReceivedEmail](), list[ReceivedWebhook]()
    settings = receiver_settings(smtp_port)
    with ExitStack() as exit_stack:
        exit_stack.enter_context(run_smtp_server(smtp_port, received_emails))
        exit_stack.enter_context(run_webhook_server(webhook_port, received_webhooks))
        attune = exit_stack.enter_context(
            run_stack(data, dict(zip(SERVICES, ports, strict=True)), settings, report=report)
        )
        checks.expect("all servers start and all services are ready", True, f"in {attune.startup_seconds:.1f} s")
        try:
            asyncio.run(
                SmokeRun(
                    attune, seed, checks, received_emails, received_webhooks, f"http://127.0.0.1:{webhook_port}"
                ).execute()
            )
        except (RunError, KeyboardInterrupt):
            raise
        except Exception:  # the checks so far and the logs are worth reporting, whatever failed
            checks.expect_none("the test completes", traceback.format_exc().splitlines()[-MAX_EXAMPLES:])
        report(
            "memory: "
            + ", ".join(f"{server.name} {memory_mb(server):.0f} MB" for server in (*attune.servers, *attune.services))
        )
        checks.expect_none(
            "every service shuts down cleanly on SIGTERM",
            [problem for server in attune.services if (problem := stop_and_check(server))],
        )


def stop_and_check(service: LocalServer) -> str:
    """Stop a service; return what was wrong with its shutdown, or an empty string."""
    process, started_at = service.process, time.monotonic()
    service.stop()
    elapsed_seconds, exit_code = time.monotonic() - started_at, process.returncode if process else None
    is_finished = "Finished server process" in service.log_file.read_text()[-2000:]
    if exit_code == 0 and is_finished and elapsed_seconds < SHUTDOWN_LIMIT_SECONDS:
        return ""
    return (
        f"{service.name}: exit code {exit_code} after {elapsed_seconds:.1f} s, {'' if is_finished else 'not '}finished"
    )


if __name__ == "__main__":
    main()
