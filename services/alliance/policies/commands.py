"""The commands `backtest` and `calibrate`, which try policies on the recorded history.

The exit code is 0 on success, 1 if the history or the database prevents it, and 2 if an argument is invalid. Results go
to standard output, progress goes to standard error.
"""

import argparse
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from uuid import UUID

from services.alliance.domain.policy.policy import Policies, Policy
from services.alliance.domain.tuning.adaptation import DEFAULT_TARGET
from services.alliance.domain.tuning.calibration import InsufficientHistory
from services.alliance.policies.backtest import run_backtest
from services.alliance.policies.backtest_report import render_csv, render_markdown, render_summary
from services.alliance.policies.calibrate import calibrate_policy, list_warnings, policy_heading
from services.alliance.policies.files import load_policy, to_toml
from services.alliance.settings import Settings
from services.alliance.store.mongo import MongoStore
from shared.mongo.client import Mongo
from shared.runtime import terminal
from shared.runtime.clock import now
from shared.runtime.commands import Subparsers
from shared.runtime.terminal import CommandError, report_error, show_progress

COMMANDS = ("backtest", "calibrate")

Command = Callable[[MongoStore], Coroutine[None, None, int]]
"""Prints its result and returns the exit code."""


def add_commands(subparsers: Subparsers) -> None:
    """Add `backtest` and `calibrate` to the commands of the service."""
    backtest_parser = subparsers.add_parser(
        "backtest",
        help="report which alerts another policy would have raised on the recorded history; "
        "writes nothing to the database",
    )
    backtest_parser.add_argument("--policy", type=Path, required=True, help="file with the new policy")
    backtest_parser.add_argument("--clinic", type=UUID, help="only this clinic")
    backtest_parser.add_argument("--csv", type=Path, help="write every episode to this CSV file")
    backtest_parser.add_argument(
        "--markdown", type=Path, help="write the full report to this file instead of printing it"
    )
    calibrate_parser = subparsers.add_parser(
        "calibrate",
        help="adapt the policy to a clinic's history, so that the promised share of false alarms holds there",
    )
    calibrate_parser.add_argument("--clinic", type=UUID, required=True)
    calibrate_parser.add_argument(
        "--false-alarms",
        type=_share,
        default=DEFAULT_TARGET,
        metavar="SHARE",
        help="share of stable relationships that may be falsely alarmed in sixteen sessions (default: %(default)s)",
    )
    calibrate_parser.add_argument("--write", type=Path, help="also write the policy to this new file")


def run(args: argparse.Namespace, settings: Settings, policies: Policies) -> int:
    """Run one of COMMANDS and return the exit code. Raises InvalidPolicy before anything is opened."""
    outputs = [args.csv, args.markdown] if args.command == "backtest" else [args.write]
    for file in outputs:
        if file is not None and not file.parent.is_dir():
            return report_error(args.command, f"folder {file.parent} does not exist; cannot write {file.name}", 2)
    command: Command
    if args.command == "backtest":
        command = partial(_backtest, args, policies, load_policy(args.policy))
    elif args.write is not None and args.write.exists():
        return report_error(args.command, f"{args.write} already exists; it is not overwritten", 2)
    else:
        command = partial(_calibrate, args, policies)
    return terminal.run(args.command, _run_with_store(command, settings))


async def _run_with_store(command: Command, settings: Settings) -> int:
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver)
    try:
        return await command(MongoStore(mongo))
    except InsufficientHistory as error:
        raise CommandError(f"insufficient history: {error}") from None
    finally:
        await mongo.close()


async def _backtest(args: argparse.Namespace, policies: Policies, new_policy: Policy, store: MongoStore) -> int:
    result = await run_backtest(store, policies, new_policy, args.clinic, partial(show_progress, "backtest"))
    if not result.weeks:
        raise InsufficientHistory("no appointments are recorded" + (f" in clinic {args.clinic}" if args.clinic else ""))
    if args.csv is not None:
        args.csv.write_text(render_csv(result), encoding="utf-8")
    report_text = render_markdown(result, args.policy.name)
    if args.markdown is not None:
        args.markdown.write_text(report_text, encoding="utf-8")
    sys.stdout.write(report_text if args.markdown is None else render_summary(result))
    return 0


async def _calibrate(args: argparse.Namespace, policies: Policies, store: MongoStore) -> int:
    policy, report_progress = policies.policy_for(args.clinic), partial(show_progress, "calibrate")
    adaptation = await calibrate_policy(store, policy, args.clinic, args.false_alarms, report_progress)
    text = to_toml(adaptation.policy, policy_heading(args.clinic, now(), args.false_alarms, adaptation))
    if args.write is not None:
        with args.write.open("x", encoding="utf-8") as file:
            file.write(text)
    sys.stderr.writelines(f"calibrate: warning: {warning}\n" for warning in list_warnings(adaptation))
    sys.stdout.write(text)
    return 0


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, such as 0.2, not {text!r}")
    return share
