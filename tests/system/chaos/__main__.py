"""`python -m tests.system.chaos`: inject faults into the whole system under load, then check the result."""

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.system.chaos import defects, reliability_report
from tests.system.chaos.rig import Rig
from tests.system.chaos.run import ChaosRun
from tests.system.support.checks import MAX_EXAMPLES, Checks
from tools.sandbox.servers.process import PROJECT_ROOT, RunError
from tools.sandbox.servers.reporting import report, show_logs
from tools.sandbox.servers.signals import interrupt_on_sigterm

RUN_MINUTES = 30.0
"""Duration of a full run, including startup and the final checks."""
OVERHEAD_MINUTES = 3.0
"""The part of a full run that startup, becoming idle and the checks need."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.system.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="seed of the run; random by default")
    parser.add_argument("--short", action="store_true", help="run only the hardest faults, in about three minutes")
    parser.add_argument("--minutes", type=float, default=RUN_MINUTES, help="duration of a full run in minutes")
    parser.add_argument("--keep", action="store_true", help="keep data and logs even if all checks pass")
    parser.add_argument("--record", action="store_true", help="write the results into docs/reliability.md")
    parser.add_argument(
        "--defects",
        nargs="*",
        metavar="NAME",
        help=f"run once with each of these defects (all by default): {', '.join(defects.defect_names())}",
    )
    args = parser.parse_args()
    interrupt_on_sigterm()
    if args.defects is None:
        sys.exit(1 if run_once(args).failed else 0)
    sys.exit(run_each_defect(args, args.defects or defects.defect_names()))


def run_each_defect(args: argparse.Namespace, defect_names: Sequence[str]) -> int:
    """Do one short run with each defect; return how many defects the checker did not detect."""
    undetected = 0
    for name in defect_names:
        report(f"--- {name}")
        failed_checks = [check.name for check in run_once(args, name).results if not check.is_passed]
        undetected += not failed_checks
        report(f"--- {name}: {'detected by ' + '; '.join(failed_checks) if failed_checks else 'NOT DETECTED'}")
        if args.record:
            reliability_report.record_defect(name, failed_checks)
    report(f"{len(defect_names) - undetected} defects detected, {undetected} not detected")
    return undetected


def run_once(args: argparse.Namespace, defect: str | None = None) -> Checks:
    """Do one run on fresh data and return its checks."""
    seed = random.randrange(10**6) if args.seed is None else args.seed
    started_at, data, checks = time.monotonic(), Path(tempfile.mkdtemp(prefix="attune-chaos-")), Checks(report)
    report(f"seed {seed}; SEED={seed} repeats this run")
    try:
        code_root = defects.copy_with_defect(defect, data / "code") if defect else PROJECT_ROOT
        is_short = args.short or defect is not None
        rig = Rig(data, code_root, is_short)
        seconds = 60 * (args.minutes - OVERHEAD_MINUTES)
        run = ChaosRun(rig, seed, seconds, is_short, report, checks)
        with rig.run(report):
            try:
                asyncio.run(run.execute())
            except (RunError, KeyboardInterrupt):
                raise
            except Exception:  # the checks so far and the logs are worth reporting, whatever failed
                checks.expect_none("the run completes", traceback.format_exc().splitlines()[-MAX_EXAMPLES:])
        summary = reliability_report.summarize(run, time.monotonic() - started_at, datetime.now(UTC))
        (data / "summary.json").write_text(json.dumps(summary, indent=2))
        report(reliability_report.format_summary(summary))
        if args.record and not defect:
            reliability_report.record_run(summary)
    except RunError as error:
        checks.expect("all servers start", False)
        report(str(error))
    report(f"{checks.passed} passed, {checks.failed} failed, in {time.monotonic() - started_at:.0f} s; seed {seed}")
    if checks.failed and not defect:
        show_logs(data)
    if not args.keep and (defect or not checks.failed):
        shutil.rmtree(data, ignore_errors=True)
    return checks


if __name__ == "__main__":
    main()
