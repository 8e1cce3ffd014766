"""`python -m tests.system.upgrade`: today's code starts on what commit 2d82b9e recorded, and loses nothing."""

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
from tests.system.upgrade.loader import NotLoaded
from tests.system.upgrade.run import Run
from tools.sandbox.servers.process import RunError
from tools.sandbox.servers.reporting import report, show_logs
from tools.sandbox.servers.signals import interrupt_on_sigterm


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.system.upgrade", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep data and logs also when everything holds")
    parser.add_argument(
        "--defects",
        nargs="*",
        metavar="NAME",
        help=f"damage the recording in each of these ways, or in every one; each must be noticed: {', '.join(DEFECTS)}",
    )
    options = parser.parse_args()
    interrupt_on_sigterm()
    if options.defects is None:
        sys.exit(1 if run_once(keep=options.keep).failed else 0)
    sys.exit(run_defects(options.defects or list(DEFECTS)))


def run_defects(names: Sequence[str]) -> int:
    """One run with each defect; how many went unnoticed."""
    unnoticed = []
    for name in names:
        report(f"--- {name}: {DEFECTS[name].__doc__}")
        broken = [check.name for check in run_once(name).results if not check.is_passed]
        report(f"--- {name}: {'noticed by: ' + '; '.join(broken) if broken else 'NOT NOTICED'}")
        if not broken:
            unnoticed.append(name)
    report(f"{len(names) - len(unnoticed)} defects noticed, {len(unnoticed)} not")
    return len(unnoticed)


def run_once(defect: str | None = None, *, keep: bool = False) -> Checks:
    """One run on fresh data; what held."""
    started_at, data, checks = time.monotonic(), Path(tempfile.mkdtemp(prefix="attune-upgrade-")), Checks(report)
    recording = archive.read(FIXTURE)
    if defect:
        DEFECTS[defect](recording)
    try:
        Run(recording, data, checks, report).run()
    except (RunError, NotLoaded) as error:
        checks.expect_none("everything starts", [error])
    except Exception:  # whatever it is, what held until then and the logs are worth seeing
        checks.expect_none("the test comes to its end", traceback.format_exc().splitlines()[-MAX_EXAMPLES:])
    report(f"{checks.passed} passed, {checks.failed} failed, in {time.monotonic() - started_at:.0f} s")
    if checks.failed and not defect:
        show_logs(data)
    elif not keep:
        shutil.rmtree(data, ignore_errors=True)
    return checks


if __name__ == "__main__":
    main()
