"""The command `dead-letters`: list, show, redrive and discard what a consumer could not use, and skip what blocks it.

Exit codes: 0 when done, 1 if Kafka is unavailable or a dead letter cannot be resolved, 2 if the arguments are wrong.
Results go to standard output, errors to standard error.
"""

import argparse
import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta

from aiokafka.errors import MessageSizeTooLargeError

from shared.errors import BrokerUnavailable
from shared.kafka.dead_letters.record import Origin, ResolutionAction, StoredDeadLetter
from shared.kafka.dead_letters.skip import CannotSkip
from shared.kafka.dead_letters.skip_command import add_skip_command
from shared.kafka.dead_letters.topic import MessageNotFound, dead_letters_of, discard, fetch_complete, redrive
from shared.kafka.producer import Producer
from shared.runtime.clock import now
from shared.runtime.commands import Subparsers
from shared.runtime.terminal import CommandError, report

COMMAND_NAME = "dead-letters"
CONFIDENTIALITY_WARNING = "the message may contain clinical feedback: keep it out of tickets, chats and logs"

Command = Callable[[argparse.Namespace, str, str], Coroutine[None, None, int]]
"""From the arguments, the servers of Kafka and the consumer to the exit code."""

Resolve = Callable[[StoredDeadLetter, Producer], Coroutine[None, None, str]]
"""Resolves one dead letter; returns the line to print."""

_SHOWN_ACTIONS: dict[ResolutionAction, str] = {"redriven": "redriven", "closed": "discarded"}


def add_command(subparsers: Subparsers) -> None:
    """Add `dead-letters` to the commands of a service."""
    parser = subparsers.add_parser(COMMAND_NAME, help="list, show, redrive, discard or create dead letters")
    parser.set_defaults(run_dead_letters=_list, all=False, json=False)
    subcommands = parser.add_subparsers(metavar="list | show | redrive | discard | skip")
    list_parser = subcommands.add_parser("list", help="open dead letters, the latest last (the default)")
    list_parser.add_argument("--all", action="store_true", help="include resolved dead letters")
    list_parser.add_argument("--json", action="store_true", help="print JSON")
    list_parser.set_defaults(run_dead_letters=_list)
    show_parser = subcommands.add_parser("show", help="one dead letter with its original message")
    show_parser.add_argument(
        "origin", type=_parse_origin, metavar="ORIGIN", help="topic/partition/offset, as shown by list"
    )
    show_parser.set_defaults(run_dead_letters=_show)
    redrive_parser = subcommands.add_parser(
        "redrive", help="publish messages to their original topic again, once the cause is fixed"
    )
    redrive_parser.add_argument("--include-resolved", action="store_true", help="include resolved dead letters")
    redrive_parser.set_defaults(run_dead_letters=_redrive)
    discard_parser = subcommands.add_parser(
        "discard", help="resolve dead letters without redriving them; the records stay"
    )
    discard_parser.set_defaults(run_dead_letters=_discard, include_resolved=False)
    add_skip_command(subcommands)
    for resolving_parser in (redrive_parser, discard_parser):
        resolving_parser.add_argument(
            "origins", type=_parse_origin, nargs="*", metavar="ORIGIN", help="topic/partition/offset"
        )
        resolving_parser.add_argument("--all", action="store_true", help="all open dead letters")
        resolving_parser.add_argument(
            "--cause", metavar="TEXT", help="with --all: only those whose cause or reason contains TEXT"
        )
        resolving_parser.set_defaults(usage_error=resolving_parser.error)


def run(args: argparse.Namespace, servers: str, consumer: str) -> int:
    """Run the command on the dead letters of `consumer`; return the exit code."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # one line of ours replaces hundreds of its lines
    command: Command = args.run_dead_letters
    try:
        return asyncio.run(command(args, servers, consumer))
    except BrokerUnavailable as error:
        return _report_error(f"Kafka at {servers}: {error}")
    except (CommandError, MessageNotFound, CannotSkip) as error:
        return _report_error(str(error))
    except KeyboardInterrupt:
        return 130


async def _list(args: argparse.Namespace, servers: str, consumer: str) -> int:
    dead_letters = await dead_letters_of(servers, consumer)
    shown = (
        dead_letters if args.all else [dead_letter for dead_letter in dead_letters if dead_letter.resolution is None]
    )
    sys.stdout.write(_format_json(shown, now()) if args.json else _format_table(shown, now()))
    return 0


async def _show(args: argparse.Namespace, servers: str, consumer: str) -> int:
    (dead_letter,) = _select_by_origin(await dead_letters_of(servers, consumer), [args.origin], consumer)
    dead_letter = await fetch_complete(servers, dead_letter)
    age = _format_age(now() - dead_letter.dead_lettered_at)
    lines = [
        f"origin        {_escape(str(dead_letter.origin))}",
        f"cause         {_escape(dead_letter.cause)}: {_escape(dead_letter.error)}",
        f"dead-lettered {dead_letter.dead_lettered_at.isoformat()} ({age} ago)",
        f"resolution    {_format_resolution(dead_letter)}",
        *([f"redriven from {_escape(dead_letter.redriven_from)}"] if dead_letter.redriven_from else []),
        f"key           {_format_bytes(dead_letter.key)}",
        *(f"header        {_escape(name)}: {_format_bytes(value)}" for name, value in dead_letter.headers),
        f"message       {dead_letter.size} bytes",
        _format_bytes(dead_letter.value),
    ]
    sys.stderr.write(f"{COMMAND_NAME}: {CONFIDENTIALITY_WARNING}\n")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


async def _redrive(args: argparse.Namespace, servers: str, consumer: str) -> int:
    async def redrive_one(dead_letter: StoredDeadLetter, producer: Producer) -> str:
        await redrive(servers, consumer, dead_letter, producer, now)
        return f"redriven {dead_letter.origin}"

    return await _resolve(args, servers, consumer, redrive_one)


async def _discard(args: argparse.Namespace, servers: str, consumer: str) -> int:
    async def discard_one(dead_letter: StoredDeadLetter, producer: Producer) -> str:
        await discard(consumer, dead_letter, producer, now)
        return f"discarded {dead_letter.origin}"

    return await _resolve(args, servers, consumer, discard_one)


async def _resolve(args: argparse.Namespace, servers: str, consumer: str, resolve: Resolve) -> int:
    if bool(args.origins) == args.all:
        args.usage_error("give either one or more ORIGINs or --all")
    if args.cause and not args.all:
        args.usage_error("--cause requires --all")
    dead_letters = await dead_letters_of(servers, consumer)
    chosen = (
        _select_by_cause(dead_letters, args.cause)
        if args.all
        else _select_by_origin(dead_letters, args.origins, consumer)
    )
    unresolved = [dead_letter for dead_letter in chosen if args.include_resolved or dead_letter.resolution is None]
    for dead_letter in chosen:
        if dead_letter not in unresolved and not args.all:
            report(f"{dead_letter.origin} is already resolved: {_format_resolution(dead_letter)}")
    failed = await _resolve_each(unresolved, servers, consumer, resolve) if unresolved else 0
    report(f"{len(unresolved) - failed} resolved" if unresolved else "nothing to do")
    return 1 if failed else 0


async def _resolve_each(dead_letters: Sequence[StoredDeadLetter], servers: str, consumer: str, resolve: Resolve) -> int:
    """Resolve each, in the order in which they were dead-lettered; return how many failed."""
    producer, failures = Producer(servers, f"attune-{consumer}-{COMMAND_NAME}", allow_large=True), 0
    await producer.start()
    try:
        for done, dead_letter in enumerate(dead_letters):
            try:
                report(await resolve(dead_letter, producer))
            except MessageNotFound as gone:
                failures += 1
                _report_error(str(gone))
            except MessageSizeTooLargeError:
                failures += 1
                _report_error(f"{dead_letter.origin}: the message with its redrive header is larger than Kafka accepts")
            except BrokerUnavailable as error:
                raise CommandError(
                    f"{done - failures} of {len(dead_letters)} dead letters were resolved before Kafka at {servers} "
                    f"stopped acknowledging ({error}); run the same command again for the rest"
                ) from error
    finally:
        await producer.stop()
    return failures


def _select_by_origin(
    dead_letters: Iterable[StoredDeadLetter], origins: Iterable[Origin], consumer: str
) -> list[StoredDeadLetter]:
    by_origin = {dead_letter.origin: dead_letter for dead_letter in dead_letters}
    if unknown := [str(origin) for origin in origins if origin not in by_origin]:
        raise CommandError(f"{consumer} has no dead letter from {', '.join(unknown)}; `list --all` names all it has")
    return [by_origin[origin] for origin in dict.fromkeys(origins)]


def _select_by_cause(dead_letters: Iterable[StoredDeadLetter], text: str | None) -> list[StoredDeadLetter]:
    return [
        dead_letter
        for dead_letter in dead_letters
        if text is None or text in dead_letter.cause or text in dead_letter.error
    ]


def _format_table(dead_letters: Sequence[StoredDeadLetter], moment: datetime) -> str:
    if not dead_letters:
        return "no dead letters\n"
    rows = [("AGE", "CAUSE", "BYTES", "RESOLUTION", "ORIGIN", "REASON")]
    rows += [
        (
            _format_age(moment - dead_letter.dead_lettered_at),
            _escape(dead_letter.cause),
            str(dead_letter.size),
            f"{_shown_action(dead_letter)} {_format_age(moment - dead_letter.resolution.resolved_at)} ago"
            if dead_letter.resolution
            else "-",
            _escape(str(dead_letter.origin)),
            _escape(dead_letter.error)
            + (f" (redriven from {_escape(dead_letter.redriven_from)})" if dead_letter.redriven_from else ""),
        )
        for dead_letter in dead_letters
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    causes = Counter(dead_letter.cause for dead_letter in dead_letters)
    by_cause = ", ".join(f"{count} {_escape(cause)}" for cause, count in causes.most_common())
    return "\n".join([*lines, f"{len(dead_letters)} dead letters: {by_cause}"]) + "\n"


def _format_json(dead_letters: Sequence[StoredDeadLetter], moment: datetime) -> str:
    entries = [
        {
            "origin": str(dead_letter.origin),
            "cause": dead_letter.cause,
            "reason": dead_letter.error,
            "dead_lettered_at": dead_letter.dead_lettered_at.isoformat(),
            "age_seconds": round((moment - dead_letter.dead_lettered_at).total_seconds()),
            "bytes": dead_letter.size,
            "resolution": _shown_action(dead_letter),
            "resolved_at": dead_letter.resolution.resolved_at.isoformat() if dead_letter.resolution else None,
            "redriven_from": dead_letter.redriven_from,
        }
        for dead_letter in dead_letters
    ]
    return json.dumps(entries, indent=2) + "\n"


def _format_resolution(dead_letter: StoredDeadLetter) -> str:
    return (
        f"{_shown_action(dead_letter)} at {dead_letter.resolution.resolved_at.isoformat()}"
        if dead_letter.resolution
        else "open"
    )


def _shown_action(dead_letter: StoredDeadLetter) -> str | None:
    return _SHOWN_ACTIONS[dead_letter.resolution.action] if dead_letter.resolution else None


def _format_age(age: timedelta) -> str:
    seconds = max(0, round(age.total_seconds()))
    for unit, unit_seconds in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * unit_seconds:
            return f"{seconds // unit_seconds} {unit}"
    return f"{seconds} s"


def _format_bytes(value: bytes | None) -> str:
    """All bytes, harmless to a terminal: what is not printable text is escaped as in Python."""
    return "none" if value is None else _escape(value.decode("utf-8", "surrogateescape"))


def _escape(text: str) -> str:
    return "".join(
        character if character.isprintable() and character != "\\" else _escape_character(character)
        for character in text
    )


def _escape_character(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _parse_origin(text: str) -> Origin:
    try:
        return Origin.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not of the form topic/partition/offset") from None


def _report_error(reason: str) -> int:
    sys.stderr.write(f"{COMMAND_NAME}: {reason}\n")
    return 1
