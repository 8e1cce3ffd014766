"""`python -m tests.system.upgrade`: start the current code on data that commit 2d82b9e recorded, and check it."""

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.system.support.checks import MAX_EXAMPLES, Checks
from tests.system.upgrade import archive
from tests.system.upgrade.archive import FIXTURE
from tests.system.upgrade.defects import DEFECTS
from tests.system.upgrade.loader import LoadError
from tests.system.upgrade.run import UpgradeRun
from tools.sandbox.servers.process import RunError
from tools.sandbox.servers.reporting import report, show_logs
from tools.sandbox.servers.signals import interrupt_on_sigterm


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.system.upgrade", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep data and logs even if all checks pass")
    parser.add_argument(
        "--defects",
        nargs="*",
        metavar="NAME",
        help=f"run once with each of these defects in the recording (all by default): {', '.join(DEFECTS)}",
    )
    args = parser.parse_args()
    interrupt_on_sigterm()
    if args.defects is None:
        sys.exit(1 if run_once(keep=args.keep).failed else 0)
    sys.exit(run_defects(args.defects or list(DEFECTS)))


def run_defects(names: Sequence[str]) -> int:
    """Do one run with each defect; return how many defects the checker did not detect."""
    undetected = []
    for name in names:
        report(f"--- {name}: {DEFECTS[name].__doc__}")
        failed_checks = [check.name for check in run_once(name).results if not check.is_passed]
        report(f"--- {name}: {'detected by ' + '; '.join(failed_checks) if failed_checks else 'NOT DETECTED'}")
        if not failed_checks:
            undetected.append(name)
    report(f"{len(names) - len(undetected)} defects detected, {len(undetected)} not detected")
    return len(undetected)


def run_once(defect: str | None = None, *, keep: bool = False) -> Checks:
    """Do one run on fresh data and return its checks."""
    started_at, data, checks = time.monotonic(), Path(tempfile.mkdtemp(prefix="attune-upgrade-")), Checks(report)
    recording = archive.read(FIXTURE)
    if defect:
        DEFECTS[defect](recording)
    try:
        UpgradeRun(recording, data, checks, report).execute()
    except (RunError, LoadError) as error:
        checks.expect_none("all servers start", [error])
    except Exception:  # the checks so far and the logs are worth reporting, whatever failed
        checks.expect_none("the test completes", traceback.format_exc().splitlines()[-MAX_EXAMPLES:])
    report(f"{checks.passed} passed, {checks.failed} failed, in {time.monotonic() - started_at:.0f} s")
    if checks.failed and not defect:
        show_logs(data)
    elif not keep:
        shutil.rmtree(data, ignore_errors=True)
    return checks


if __name__ == "__main__":
    main()
