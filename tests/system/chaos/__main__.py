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
from tests.system.chaos.run import Run
from tests.system.support.checks import SHOWN, Checks
from tools.sandbox.servers.process import HOME, CannotRun
from tools.sandbox.servers.reporting import say, show_logs
from tools.sandbox.servers.signals import end_on_sigterm

MINUTES = 30.0
"""Of the long form: starting, load and faults, coming to rest and judging together."""
OVERHEAD = 3.0
"""Minutes of those that are for starting, resting and judging."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.system.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="repeat the run with this seed; else one is drawn")
    parser.add_argument("--short", action="store_true", help="the cruellest faults only, in about three minutes")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="how long the long form takes")
    parser.add_argument("--keep", action="store_true", help="keep data and logs also when everything holds")
    parser.add_argument("--record", action="store_true", help="write what became of it into docs/reliability.md")
    parser.add_argument(
        "--defects",
        nargs="*",
        metavar="NAME",
        help=f"take each of these guarantees out in turn, or every one: {', '.join(defects.names())}",
    )
    args = parser.parse_args()
    end_on_sigterm()
    if args.defects is None:
        sys.exit(1 if one(args).failed else 0)
    sys.exit(each_defect(args, args.defects or defects.names()))


def each_defect(args: argparse.Namespace, names: Sequence[str]) -> int:
    """One short run with each defect, which the judge must notice; how many went unnoticed."""
    undetected = 0
    for name in names:
        say(f"--- {name}")
        failed_checks = [check.what for check in one(args, name).all if not check.holds]
        undetected += not failed_checks
        say(f"--- {name}: {'caught by ' + '; '.join(failed_checks) if failed_checks else 'NOT NOTICED'}")
        if args.record:
            reliability_report.record_defect(name, failed_checks)
    say(f"{len(names) - undetected} caught, {undetected} not noticed")
    return undetected


def one(args: argparse.Namespace, defect: str | None = None) -> Checks:
    """One run on fresh data; what held."""
    seed = random.randrange(10**6) if args.seed is None else args.seed
    started_at, data, checks = time.monotonic(), Path(tempfile.mkdtemp(prefix="attune-chaos-")), Checks(say)
    say(f"seed {seed}; SEED={seed} repeats this run")
    try:
        code_root = defects.with_defect(defect, data / "code") if defect else HOME
        rig = Rig(data, code_root)
        seconds = 60 * (args.minutes - OVERHEAD)
        run = Run(rig, seed, seconds, args.short or defect is not None, say, checks)
        with rig.running(say):
            try:
                asyncio.run(run.whole())
            except (CannotRun, KeyboardInterrupt):
                raise
            except Exception:  # whatever it is, what held until then and the logs are worth seeing
                checks.none("the run comes to its end", traceback.format_exc().splitlines()[-SHOWN:])
        summary = reliability_report.summary(run, time.monotonic() - started_at, datetime.now(UTC))
        (data / "summary.json").write_text(json.dumps(summary, indent=2))
        say(reliability_report.told(summary))
        if args.record and not defect:
            reliability_report.record_run(summary)
    except CannotRun as error:
        checks.holds("everything starts", False)
        say(str(error))
    say(f"{checks.passed} passed, {checks.failed} failed, in {time.monotonic() - started_at:.0f} s; seed {seed}")
    if checks.failed and not defect:
        show_logs(data)
    if not args.keep and (defect or not checks.failed):
        shutil.rmtree(data, ignore_errors=True)
    return checks


if __name__ == "__main__":
    main()
