"""The commands beside serving: what they are given, what they say, and how they end.

They end with 0 when done, with 1 when the history or the database does not allow it, and with 2 when what they were
given is wrong. What they find goes to standard output, how far they are to standard error.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from math import isfinite
from pathlib import Path
from uuid import UUID

from services.alliance.backtest import backtest
from services.alliance.calibrate import Calibrated, calibrate
from services.alliance.domain.calibration import TooLittle
from services.alliance.domain.policy import Policies
from services.alliance.policy_files import as_toml, policies_in, policy_in
from services.alliance.report import markdown, summary, table
from services.alliance.settings import Settings
from services.alliance.store import MongoStore, Store
from shared.clock import now
from shared.errors import StoreUnavailable
from shared.kafka import commands as dead_letters
from shared.mongo import Mongo

Command = Callable[[argparse.Namespace, Store, Policies], Awaitable[str]]
"""Gives what is to be said."""

WIDTH = 30  # of the progress bar


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for; where it is wrong, argparse says so and ends with 2."""
    parser = argparse.ArgumentParser(prog="python -m services.alliance")
    commands = parser.add_subparsers(dest="command", metavar="serve | backtest | calibrate | dead-letters")
    commands.add_parser("serve", help="serve; so does no command at all")
    tried = commands.add_parser(
        "backtest", help="which alerts another policy would have raised on the recorded history; nothing is written"
    )
    tried.add_argument("--policy", type=Path, required=True, help="the file of the new policy")
    tried.add_argument("--clinic", type=UUID, help="only this clinic")
    tried.add_argument("--csv", type=Path, help="write every episode into this file")
    tried.add_argument("--markdown", type=Path, help="write the report into this file; else all of it is printed")
    tried.set_defaults(run=_backtest)
    fitted = commands.add_parser(
        "calibrate", help="fit the prior to a clinic's history, and suggest thresholds for a number of alerts"
    )
    fitted.add_argument("--clinic", type=UUID, required=True)
    fitted.add_argument("--alerts-per-clinician-week", type=_positive, required=True, metavar="NUMBER")
    fitted.add_argument("--write", type=Path, help="write the policy into this new file as well")
    fitted.set_defaults(run=_calibrate)
    dead_letters.offer(commands)
    return parser.parse_args(given)


def run(asked: argparse.Namespace, settings: Settings) -> int:
    """Do what was asked for, and say how it ended. Raises WrongPolicy before anything is opened."""
    policies = policies_in(settings.policy_dir)
    if "policy" in asked:
        asked.new = policy_in(asked.policy)
    for file in (getattr(asked, name, None) for name in ("csv", "markdown", "write")):
        if file is not None and not file.parent.is_dir():
            return _failed(asked, f"there is no folder {file.parent} to write {file.name} into", 2)
    if getattr(asked, "write", None) and asked.write.exists():
        return _failed(asked, f"{asked.write} is there already; nothing is written over it", 2)
    try:
        sys.stdout.write(asyncio.run(_with_store(asked, settings, policies)))
    except TooLittle as error:
        return _failed(asked, f"too little history: {error}", 1)
    except StoreUnavailable:
        return _failed(asked, "the database does not answer", 1)
    except OSError as error:
        return _failed(asked, str(error), 1)
    except KeyboardInterrupt:
        return 130
    return 0


async def _with_store(asked: argparse.Namespace, settings: Settings, policies: Policies) -> str:
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver)
    command: Command = asked.run
    try:
        return await command(asked, MongoStore(mongo), policies)
    finally:
        await mongo.close()


async def _backtest(asked: argparse.Namespace, store: Store, policies: Policies) -> str:
    found = await backtest(store, policies, asked.new, asked.clinic, partial(_progress, "backtest"))
    if not found.weeks:
        raise TooLittle("no appointment is recorded" + (f" in clinic {asked.clinic}" if asked.clinic else ""))
    if asked.csv is not None:
        asked.csv.write_text(table(found), encoding="utf-8")
    report = markdown(found, asked.policy.name)
    if asked.markdown is None:
        return report
    asked.markdown.write_text(report, encoding="utf-8")
    return summary(found)


async def _calibrate(asked: argparse.Namespace, store: Store, policies: Policies) -> str:
    policy, wished = policies.of(asked.clinic), asked.alerts_per_clinician_week
    progress = partial(_progress, "calibrate")
    found = await calibrate(store, policy, asked.clinic, wished, progress)
    said = as_toml(found.policy, _heading(asked.clinic, wished, found))
    if asked.write is not None:
        with asked.write.open("x", encoding="utf-8") as file:
            file.write(said)
    return said


def _heading(clinic: UUID, wished: float, found: Calibrated) -> list[str]:
    far = [] if found.reached else ["No threshold comes nearer to what was wished."]
    return [
        f"The policy of clinic {clinic}, calibrated on {now():%Y-%m-%d} to its own history:",
        f"{found.relationships} relationships, {found.weeks} weeks of clinicians with an appointment.",
        f"Wished: {wished:g} alerts per clinician and week. On this history it would have raised {found.alerts},",
        f"{found.urgent} of them urgent: {found.rate:.3f} per clinician and week.",
        *far,
    ]


def _positive(told: str) -> float:
    number = float(told)
    if not (isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError("must be more than 0")
    return number


def _progress(command: str, read: int, count: int) -> None:
    """One line that changes on a terminal; elsewhere a line at the beginning and the end of each reading."""
    done = WIDTH * read // max(count, 1)
    line = f"{command}: [{'#' * done}{'.' * (WIDTH - done)}] {read} of {count} relationships"
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{line}" + ("\n" if read == count else ""))
    elif read in (0, count):
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _failed(asked: argparse.Namespace, why: str, code: int) -> int:
    sys.stderr.write(f"{asked.command}: {why}\n")
    return code
