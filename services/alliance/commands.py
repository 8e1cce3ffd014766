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
    commands = parser.add_subparsers(
        dest="command", metavar="serve | backtest | calibrate | rebuild | verify | dead-letters"
    )
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
    rebuilt = commands.add_parser(
        "rebuild",
        help="make the view again from the topics while the service runs; start it as often as there are cores, and "
        "again where one was ended",
    )
    rebuilt.add_argument("--afresh", action="store_true", help="give up a rebuild that was begun and not ended")
    rebuilt.set_defaults(run=_rebuild)
    verified = commands.add_parser(
        "verify", help="compare the view with the topics while the service runs, and print what differs"
    )
    verified.set_defaults(run=_verify)
    dead_letters.offer(commands)
    return parser.parse_args(given)


def run(asked: argparse.Namespace, settings: Settings) -> int:
    """Do what was asked for, and say how it ended. Raises WrongPolicy before anything is opened."""
    policies = policies_in(settings.policy_dir)
    if "policy" in asked:
        asked.new = policy_in(asked.policy)
    for file in (getattr(asked, name, None) for name in ("csv", "markdown", "write")):
        if file is not None and not file.parent.is_dir():
            return failed(asked.command, f"there is no folder {file.parent} to write {file.name} into", 2)
    if getattr(asked, "write", None) and asked.write.exists():
        return failed(asked.command, f"{asked.write} is there already; nothing is written over it", 2)
    return terminal.run(asked.command, _with_database(asked, settings, policies))


async def _with_database(asked: argparse.Namespace, settings: Settings, policies: Policies) -> int:
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver)
    command: Command = asked.run
    try:
        return await command(asked, Given(settings, policies, mongo))
    except TooLittle as error:
        raise NotPossible(f"too little history: {error}") from None
    finally:
        await mongo.close()


async def _backtest(asked: argparse.Namespace, given: Given) -> int:
    found = await backtest(given.store, given.policies, asked.new, asked.clinic, partial(progress, "backtest"))
    if not found.weeks:
        raise TooLittle("no appointment is recorded" + (f" in clinic {asked.clinic}" if asked.clinic else ""))
    if asked.csv is not None:
        asked.csv.write_text(table(found), encoding="utf-8")
    report = markdown(found, asked.policy.name)
    if asked.markdown is not None:
        asked.markdown.write_text(report, encoding="utf-8")
    sys.stdout.write(report if asked.markdown is None else summary(found))
    return 0


async def _calibrate(asked: argparse.Namespace, given: Given) -> int:
    policy, wished = given.policies.of(asked.clinic), asked.alerts_per_clinician_week
    found = await calibrate(given.store, policy, asked.clinic, wished, partial(progress, "calibrate"))
    said = as_toml(found.policy, _heading(asked.clinic, wished, found))
    if asked.write is not None:
        with asked.write.open("x", encoding="utf-8") as file:
            file.write(said)
    sys.stdout.write(said)
    return 0


async def _rebuild(asked: argparse.Namespace, given: Given) -> int:
    servers, shadow, work = given.settings.kafka_bootstrap_servers, Shadow(given.mongo), Work(given.mongo)
    producer = Producer(servers, "attune-alliance")
    if asked.afresh:
        await work.give_up()
        await shadow.forget_all()
    async with History(servers, HEARD, KINDS_HEARD) as history:
        await producer.start()
        try:
            await given.store.prepare()
            await shadow.prepare()
            await work.join(given.policies.digest, _anything(await history.sizes(), servers))
            view = Alliances(servers, given.store, shadow, producer.tell, given.policies, history, say)
            counts = await rebuild(
                view, work, lambda stage, done, of: progress(f"rebuild, {stage}", done, of, "messages")
            )
        finally:
            await producer.stop()
    sys.stdout.write("".join(f"{count} {what}\n" for what, count in sorted(counts.items())))
    return 0


async def _verify(_asked: argparse.Namespace, given: Given) -> int:
    servers, shadow = given.settings.kafka_bootstrap_servers, Shadow(given.mongo)
    async with History(servers, HEARD, KINDS_HEARD) as history:
        _anything(await history.sizes(), servers)
        verify = Verify(servers, "alliance", given.store, shadow, given.policies, history, say)
        found = await verify(partial(progress, "verify", what="messages"))
    sys.stdout.write(f"{found.compared} relationships compared, {found.different} different\n")
    if found.on_its_way:
        sys.stdout.write(f"{found.on_its_way} not compared: the service has not taken in all of their facts yet\n")
    if found.other_policy:
        sys.stdout.write(
            f"{len(found.other_policy)} compared but for their state: it was read under another policy than the one "
            "in force\n"
        )
    return 1 if found.different else 0


def _anything(sizes: Sequence[int], servers: str) -> Sequence[int]:
    if not sum(sizes):
        raise NotPossible(f"nothing lies on the topics of {servers}; is that the right Kafka?")
    return sizes


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
