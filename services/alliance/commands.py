"""The commands beside serving: what they are given, what they say, and how they end.

They end with 0 when done, with 1 when the history, the database or Kafka does not allow it or when `verify` found a
difference, and with 2 when what they were given is wrong. What they find goes to standard output, how far they are to
standard error.
"""

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from uuid import UUID

from services.alliance.domain.policy.policy import Policies
from services.alliance.domain.tuning.calibration import InsufficientHistory
from services.alliance.policies.backtest import run_backtest
from services.alliance.policies.backtest_report import render_csv, render_markdown, render_summary
from services.alliance.policies.calibrate import Calibration, calibrate_policy
from services.alliance.policies.files import load_policies, load_policy, to_toml
from services.alliance.rebuild.rebuild import CONSUMED_EVENTS, CONSUMED_TOPICS, AllianceRebuilder
from services.alliance.rebuild.staging import Staging
from services.alliance.rebuild.verify import Verifier
from services.alliance.settings import Settings
from services.alliance.store.mongo import MongoStore
from shared.kafka.dead_letters import commands as dead_letters
from shared.kafka.producer import Producer
from shared.kafka.topic_reader import TopicReader
from shared.mongo.client import Mongo
from shared.rebuild.job import RebuildJob, rebuild
from shared.runtime import terminal
from shared.runtime.clock import now
from shared.runtime.terminal import CommandError, report, report_error, show_progress


@dataclass(frozen=True, slots=True)
class CommandContext:
    """What a command works with."""

    settings: Settings
    policies: Policies
    mongo: Mongo

    @property
    def store(self) -> MongoStore:
        return MongoStore(self.mongo)


Command = Callable[[argparse.Namespace, CommandContext], Awaitable[int]]
"""Says what it found, and gives the exit code."""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for; where it is wrong, argparse says so and ends with 2."""
    parser = argparse.ArgumentParser(prog="python -m services.alliance")
    subparsers = parser.add_subparsers(
        dest="command", metavar="serve | backtest | calibrate | rebuild | verify | dead-letters"
    )
    subparsers.add_parser("serve", help="serve; so does no command at all")
    backtest_parser = subparsers.add_parser(
        "backtest", help="which alerts another policy would have raised on the recorded history; nothing is written"
    )
    backtest_parser.add_argument("--policy", type=Path, required=True, help="the file of the new policy")
    backtest_parser.add_argument("--clinic", type=UUID, help="only this clinic")
    backtest_parser.add_argument("--csv", type=Path, help="write every episode into this file")
    backtest_parser.add_argument(
        "--markdown", type=Path, help="write the report into this file; else all of it is printed"
    )
    backtest_parser.set_defaults(run=_backtest)
    calibrate_parser = subparsers.add_parser(
        "calibrate", help="fit the prior to a clinic's history, and suggest thresholds for a number of alerts"
    )
    calibrate_parser.add_argument("--clinic", type=UUID, required=True)
    calibrate_parser.add_argument("--alerts-per-clinician-week", type=_positive_number, required=True, metavar="NUMBER")
    calibrate_parser.add_argument("--write", type=Path, help="write the policy into this new file as well")
    calibrate_parser.set_defaults(run=_calibrate)
    rebuild_parser = subparsers.add_parser(
        "rebuild",
        help="make the view again from the topics while the service runs; start it as often as there are cores, and "
        "again where one was ended",
    )
    rebuild_parser.add_argument("--afresh", action="store_true", help="give up a rebuild that was begun and not ended")
    rebuild_parser.set_defaults(run=_rebuild)
    verify_parser = subparsers.add_parser(
        "verify", help="compare the view with the topics while the service runs, and print what differs"
    )
    verify_parser.set_defaults(run=_verify)
    dead_letters.add_command(subparsers)
    return parser.parse_args(argv)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do what was asked for, and say how it ended. Raises WrongPolicy before anything is opened."""
    policies = load_policies(settings.policy_dir)
    if "policy" in args:
        args.new = load_policy(args.policy)
    for file in (getattr(args, name, None) for name in ("csv", "markdown", "write")):
        if file is not None and not file.parent.is_dir():
            return report_error(args.command, f"there is no folder {file.parent} to write {file.name} into", 2)
    if getattr(args, "write", None) and args.write.exists():
        return report_error(args.command, f"{args.write} is there already; nothing is written over it", 2)
    return terminal.run(args.command, _with_database(args, settings, policies))


async def _with_database(args: argparse.Namespace, settings: Settings, policies: Policies) -> int:
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver)
    command: Command = args.run
    try:
        return await command(args, CommandContext(settings, policies, mongo))
    except InsufficientHistory as error:
        raise CommandError(f"too little history: {error}") from None
    finally:
        await mongo.close()


async def _backtest(args: argparse.Namespace, context: CommandContext) -> int:
    result = await run_backtest(
        context.store, context.policies, args.new, args.clinic, partial(show_progress, "backtest")
    )
    if not result.weeks:
        raise InsufficientHistory("no appointment is recorded" + (f" in clinic {args.clinic}" if args.clinic else ""))
    if args.csv is not None:
        args.csv.write_text(render_csv(result), encoding="utf-8")
    report_text = render_markdown(result, args.policy.name)
    if args.markdown is not None:
        args.markdown.write_text(report_text, encoding="utf-8")
    sys.stdout.write(report_text if args.markdown is None else render_summary(result))
    return 0


async def _calibrate(args: argparse.Namespace, context: CommandContext) -> int:
    policy, target_rate = context.policies.policy_for(args.clinic), args.alerts_per_clinician_week
    result = await calibrate_policy(
        context.store, policy, args.clinic, target_rate, partial(show_progress, "calibrate")
    )
    text = to_toml(result.policy, _policy_heading(args.clinic, target_rate, result))
    if args.write is not None:
        with args.write.open("x", encoding="utf-8") as file:
            file.write(text)
    sys.stdout.write(text)
    return 0


async def _rebuild(args: argparse.Namespace, context: CommandContext) -> int:
    servers, staging, job = context.settings.kafka_bootstrap_servers, Staging(context.mongo), RebuildJob(context.mongo)
    producer = Producer(servers, "attune-alliance")
    if args.afresh:
        await job.abandon()
        await staging.clear()
    async with TopicReader(servers, CONSUMED_TOPICS, CONSUMED_EVENTS) as topic_reader:
        await producer.start()
        try:
            await context.store.create_indexes()
            await staging.create_indexes()
            await job.join(context.policies.digest, _require_messages(await topic_reader.message_counts(), servers))
            rebuilder = AllianceRebuilder(
                servers, context.store, staging, producer.publish, context.policies, topic_reader, report
            )
            counts = await rebuild(
                rebuilder, job, lambda stage, done, total: show_progress(f"rebuild, {stage}", done, total, "messages")
            )
        finally:
            await producer.stop()
    sys.stdout.write("".join(f"{count} {counter}\n" for counter, count in sorted(counts.items())))
    return 0


async def _verify(_args: argparse.Namespace, context: CommandContext) -> int:
    servers, staging = context.settings.kafka_bootstrap_servers, Staging(context.mongo)
    async with TopicReader(servers, CONSUMED_TOPICS, CONSUMED_EVENTS) as topic_reader:
        _require_messages(await topic_reader.message_counts(), servers)
        verifier = Verifier(servers, "alliance", context.store, staging, context.policies, topic_reader, report)
        result = await verifier(partial(show_progress, "verify", unit="messages"))
    sys.stdout.write(f"{result.compared} relationships compared, {result.different} different\n")
    if result.not_caught_up:
        sys.stdout.write(f"{result.not_caught_up} not compared: the service has not taken in all of their facts yet\n")
    if result.under_other_policy:
        sys.stdout.write(
            f"{len(result.under_other_policy)} compared but for their state: it was read under another policy than the one "
            "in force\n"
        )
    return 1 if result.different else 0


def _require_messages(message_counts: Sequence[int], servers: str) -> Sequence[int]:
    if not sum(message_counts):
        raise CommandError(f"nothing lies on the topics of {servers}; is that the right Kafka?")
    return message_counts


def _policy_heading(clinic: UUID, target_rate: float, result: Calibration) -> list[str]:
    warning = [] if result.is_target_reached else ["No threshold comes nearer to what was wished."]
    return [
        f"The policy of clinic {clinic}, calibrated on {now():%Y-%m-%d} to its own history:",
        f"{result.relationships} relationships, {result.weeks} weeks of clinicians with an appointment.",
        f"Wished: {target_rate:g} alerts per clinician and week. On this history it would have raised {result.alerts},",
        f"{result.urgent_alerts} of them urgent: {result.alerts_per_week:.3f} per clinician and week.",
        *warning,
    ]


def _positive_number(text: str) -> float:
    number = float(text)
    if not (isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError("must be more than 0")
    return number
