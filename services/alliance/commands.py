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
from services.alliance.domain.tuning.calibration import TooLittle
from services.alliance.policies.backtest import backtest
from services.alliance.policies.backtest_report import markdown, summary, table
from services.alliance.policies.calibrate import Calibrated, calibrate
from services.alliance.policies.files import as_toml, policies_in, policy_in
from services.alliance.rebuild.rebuild import HEARD, KINDS_HEARD, Alliances
from services.alliance.rebuild.staging import Shadow
from services.alliance.rebuild.verify import Verify
from services.alliance.settings import Settings
from services.alliance.store.mongo import MongoStore
from shared.kafka.dead_letters import commands as dead_letters
from shared.kafka.producer import Producer
from shared.kafka.topic_reader import History
from shared.mongo.client import Mongo
from shared.rebuild.job import Work, rebuild
from shared.runtime import terminal
from shared.runtime.clock import now
from shared.runtime.terminal import NotPossible, failed, progress, say


@dataclass(frozen=True, slots=True)
class Given:
    """What a command works with."""

    settings: Settings
    policies: Policies
    mongo: Mongo

    @property
    def store(self) -> MongoStore:
        return MongoStore(self.mongo)


Command = Callable[[argparse.Namespace, Given], Awaitable[int]]
"""Says what it found, and gives the exit code."""


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
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
    calibrate_parser.add_argument("--alerts-per-clinician-week", type=_positive, required=True, metavar="NUMBER")
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
    dead_letters.offer(subparsers)
    return parser.parse_args(given)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do what was asked for, and say how it ended. Raises WrongPolicy before anything is opened."""
    policies = policies_in(settings.policy_dir)
    if "policy" in args:
        args.new = policy_in(args.policy)
    for file in (getattr(args, name, None) for name in ("csv", "markdown", "write")):
        if file is not None and not file.parent.is_dir():
            return failed(args.command, f"there is no folder {file.parent} to write {file.name} into", 2)
    if getattr(args, "write", None) and args.write.exists():
        return failed(args.command, f"{args.write} is there already; nothing is written over it", 2)
    return terminal.run(args.command, _with_database(args, settings, policies))


async def _with_database(args: argparse.Namespace, settings: Settings, policies: Policies) -> int:
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver)
    command: Command = args.run
    try:
        return await command(args, Given(settings, policies, mongo))
    except TooLittle as error:
        raise NotPossible(f"too little history: {error}") from None
    finally:
        await mongo.close()


async def _backtest(args: argparse.Namespace, given: Given) -> int:
    result = await backtest(given.store, given.policies, args.new, args.clinic, partial(progress, "backtest"))
    if not result.weeks:
        raise TooLittle("no appointment is recorded" + (f" in clinic {args.clinic}" if args.clinic else ""))
    if args.csv is not None:
        args.csv.write_text(table(result), encoding="utf-8")
    report_text = markdown(result, args.policy.name)
    if args.markdown is not None:
        args.markdown.write_text(report_text, encoding="utf-8")
    sys.stdout.write(report_text if args.markdown is None else summary(result))
    return 0


async def _calibrate(args: argparse.Namespace, given: Given) -> int:
    policy, target_rate = given.policies.of(args.clinic), args.alerts_per_clinician_week
    result = await calibrate(given.store, policy, args.clinic, target_rate, partial(progress, "calibrate"))
    text = as_toml(result.policy, _heading(args.clinic, target_rate, result))
    if args.write is not None:
        with args.write.open("x", encoding="utf-8") as file:
            file.write(text)
    sys.stdout.write(text)
    return 0


async def _rebuild(args: argparse.Namespace, given: Given) -> int:
    servers, staging, job = given.settings.kafka_bootstrap_servers, Shadow(given.mongo), Work(given.mongo)
    producer = Producer(servers, "attune-alliance")
    if args.afresh:
        await job.give_up()
        await staging.forget_all()
    async with History(servers, HEARD, KINDS_HEARD) as topic_reader:
        await producer.start()
        try:
            await given.store.prepare()
            await staging.prepare()
            await job.join(given.policies.digest, _anything(await topic_reader.sizes(), servers))
            rebuilder = Alliances(servers, given.store, staging, producer.tell, given.policies, topic_reader, say)
            counts = await rebuild(
                rebuilder, job, lambda stage, done, total: progress(f"rebuild, {stage}", done, total, "messages")
            )
        finally:
            await producer.stop()
    sys.stdout.write("".join(f"{count} {counter}\n" for counter, count in sorted(counts.items())))
    return 0


async def _verify(_args: argparse.Namespace, given: Given) -> int:
    servers, staging = given.settings.kafka_bootstrap_servers, Shadow(given.mongo)
    async with History(servers, HEARD, KINDS_HEARD) as topic_reader:
        _anything(await topic_reader.sizes(), servers)
        verifier = Verify(servers, "alliance", given.store, staging, given.policies, topic_reader, say)
        result = await verifier(partial(progress, "verify", what="messages"))
    sys.stdout.write(f"{result.compared} relationships compared, {result.different} different\n")
    if result.on_its_way:
        sys.stdout.write(f"{result.on_its_way} not compared: the service has not taken in all of their facts yet\n")
    if result.other_policy:
        sys.stdout.write(
            f"{len(result.other_policy)} compared but for their state: it was read under another policy than the one "
            "in force\n"
        )
    return 1 if result.different else 0


def _anything(message_counts: Sequence[int], servers: str) -> Sequence[int]:
    if not sum(message_counts):
        raise NotPossible(f"nothing lies on the topics of {servers}; is that the right Kafka?")
    return message_counts


def _heading(clinic: UUID, wished: float, result: Calibrated) -> list[str]:
    warning = [] if result.reached else ["No threshold comes nearer to what was wished."]
    return [
        f"The policy of clinic {clinic}, calibrated on {now():%Y-%m-%d} to its own history:",
        f"{result.relationships} relationships, {result.weeks} weeks of clinicians with an appointment.",
        f"Wished: {wished:g} alerts per clinician and week. On this history it would have raised {result.alerts},",
        f"{result.urgent} of them urgent: {result.rate:.3f} per clinician and week.",
        *warning,
    ]


def _positive(told: str) -> float:
    number = float(told)
    if not (isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError("must be more than 0")
    return number
