"""`dead-letters`: what a consumer could not read, for a person to look at and to send back once the cause is fixed.

It ends with 0 when done, with 1 when Kafka or what lies on the topic does not allow it, and with 2 when what it was
given is wrong. What it finds goes to standard output, what stands in the way to standard error.
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
from shared.kafka.dead_letters.record import Origin, StoredDeadLetter
from shared.kafka.dead_letters.topic import MessageNotFound, dead_letters_of, discard, fetch_complete, redrive
from shared.kafka.producer import Producer
from shared.runtime.clock import now
from shared.runtime.commands import Subparsers

COMMAND_NAME = "dead-letters"
CONFIDENTIALITY_WARNING = "the message may hold what people said: keep it out of tickets, chats and logs"

Command = Callable[[argparse.Namespace, str, str], Coroutine[None, None, int]]
"""Given what was asked, where Kafka is, and whose letters these are; the exit code."""


Resolve = Callable[[StoredDeadLetter, Producer], Coroutine[None, None, str]]
"""Settles one letter, and says so."""


class CommandError(Exception):
    """What was asked for cannot be done as things stand. Its text says why."""


def add_command(subparsers: Subparsers) -> None:
    """Let it be asked for."""
    parser = subparsers.add_parser(
        COMMAND_NAME, help="what could not be read: list it, show it, send it back or close it"
    )
    parser.set_defaults(letters=_list, all=False, json=False)
    subcommands = parser.add_subparsers(metavar="list | show | redrive | close")
    list_parser = subcommands.add_parser("list", help="those that are open, the latest last; so does no word at all")
    list_parser.add_argument("--all", action="store_true", help="those that are settled as well")
    list_parser.add_argument("--json", action="store_true", help="for programs")
    list_parser.set_defaults(letters=_list)
    show_parser = subcommands.add_parser("show", help="one, with its message to the byte")
    show_parser.add_argument(
        "origin", type=_parse_origin, metavar="ORIGIN", help="topic/partition/offset, as the list has it"
    )
    show_parser.set_defaults(letters=_show)
    redrive_parser = subcommands.add_parser(
        "redrive", help="send messages back to where they came from, once the cause is fixed"
    )
    redrive_parser.add_argument("--again", action="store_true", help="also what is settled")
    redrive_parser.set_defaults(letters=_redrive)
    discard_parser = subcommands.add_parser(
        "close", help="note that nobody wants a message; its letter stays, and is open no more"
    )
    discard_parser.set_defaults(letters=_discard, again=False)
    for resolving_parser in (redrive_parser, discard_parser):
        resolving_parser.add_argument(
            "origins", type=_parse_origin, nargs="*", metavar="ORIGIN", help="topic/partition/offset"
        )
        resolving_parser.add_argument("--all", action="store_true", help="all that are open")
        resolving_parser.add_argument("--cause", metavar="TEXT", help="of all, those whose cause or reason holds TEXT")
        resolving_parser.set_defaults(refuse=resolving_parser.error)


def run(args: argparse.Namespace, servers: str, consumer: str) -> int:
    """Do what was asked with the letters of `consumer`, and say how it ended."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it says at length what we say in a line
    command: Command = args.letters
    try:
        return asyncio.run(command(args, servers, consumer))
    except BrokerUnavailable as error:
        return _report_error(f"Kafka at {servers}: {error}")
    except (CommandError, MessageNotFound) as error:
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
    lines = [
        f"origin       {_escape(str(dead_letter.origin))}",
        f"cause        {_escape(dead_letter.cause)}: {_escape(dead_letter.error)}",
        f"set aside    {dead_letter.dead_lettered_at.isoformat()} ({_format_age(now() - dead_letter.dead_lettered_at)} ago)",
        f"settled      {_format_resolution(dead_letter)}",
        *([f"back from    {_escape(dead_letter.redriven_from)}"] if dead_letter.redriven_from else []),
        f"key          {_format_bytes(dead_letter.key)}",
        *(f"header       {_escape(name)}: {_format_bytes(value)}" for name, value in dead_letter.headers),
        f"message      {dead_letter.size} bytes",
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
        return f"closed {dead_letter.origin}"

    return await _resolve(args, servers, consumer, discard_one)


async def _resolve(args: argparse.Namespace, servers: str, consumer: str, resolve: Resolve) -> int:
    if bool(args.origins) == args.all:
        args.refuse("say which: either ORIGIN, one or several, or --all")
    if args.cause and not args.all:
        args.refuse("--cause goes with --all")
    dead_letters = await dead_letters_of(servers, consumer)
    chosen = (
        _select_by_cause(dead_letters, args.cause)
        if args.all
        else _select_by_origin(dead_letters, args.origins, consumer)
    )
    unresolved = [dead_letter for dead_letter in chosen if args.again or dead_letter.resolution is None]
    for dead_letter in chosen:
        if dead_letter not in unresolved and not args.all:
            _report(f"{dead_letter.origin} is settled: {_format_resolution(dead_letter)}")
    failed = await _resolve_each(unresolved, servers, consumer, resolve) if unresolved else 0
    _report(f"{len(unresolved) - failed} done" if unresolved else "nothing to do")
    return 1 if failed else 0


async def _resolve_each(dead_letters: Sequence[StoredDeadLetter], servers: str, consumer: str, resolve: Resolve) -> int:
    """In the order in which they were set aside; how many could not be."""
    producer, failures = Producer(servers, f"attune-{consumer}-{COMMAND_NAME}", allow_large=True), 0
    await producer.start()
    try:
        for done, dead_letter in enumerate(dead_letters):
            try:
                _report(await resolve(dead_letter, producer))
            except MessageNotFound as gone:
                failures += 1
                _report_error(str(gone))
            except MessageSizeTooLargeError:
                failures += 1
                _report_error(f"{dead_letter.origin}: Kafka takes no message as large as this one with its mark")
            except BrokerUnavailable as error:
                raise CommandError(
                    f"{done - failures} of {len(dead_letters)} were done before Kafka at {servers} did not acknowledge "
                    f"({error}); the same command does the rest"
                ) from error
    finally:
        await producer.stop()
    return failures


def _select_by_origin(
    dead_letters: Iterable[StoredDeadLetter], origins: Iterable[Origin], consumer: str
) -> list[StoredDeadLetter]:
    by_origin = {dead_letter.origin: dead_letter for dead_letter in dead_letters}
    if unknown := [str(origin) for origin in origins if origin not in by_origin]:
        raise CommandError(f"{consumer} set nothing aside from {', '.join(unknown)}")
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
    rows = [("AGE", "CAUSE", "BYTES", "SETTLED", "ORIGIN", "WHY")]
    rows += [
        (
            _format_age(moment - dead_letter.dead_lettered_at),
            _escape(dead_letter.cause),
            str(dead_letter.size),
            f"{dead_letter.resolution.action} {_format_age(moment - dead_letter.resolution.resolved_at)} ago"
            if dead_letter.resolution
            else "-",
            _escape(str(dead_letter.origin)),
            _escape(dead_letter.error)
            + (f" (back from {_escape(dead_letter.redriven_from)})" if dead_letter.redriven_from else ""),
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
            "why": dead_letter.error,
            "set_aside_at": dead_letter.dead_lettered_at.isoformat(),
            "age_seconds": round((moment - dead_letter.dead_lettered_at).total_seconds()),
            "bytes": dead_letter.size,
            "settled": dead_letter.resolution.action if dead_letter.resolution else None,
            "settled_at": dead_letter.resolution.resolved_at.isoformat() if dead_letter.resolution else None,
            "back_from": dead_letter.redriven_from,
        }
        for dead_letter in dead_letters
    ]
    return json.dumps(entries, indent=2) + "\n"


def _format_resolution(dead_letter: StoredDeadLetter) -> str:
    return (
        f"{dead_letter.resolution.action} at {dead_letter.resolution.resolved_at.isoformat()}"
        if dead_letter.resolution
        else "no"
    )


def _format_age(age: timedelta) -> str:
    seconds = max(0, round(age.total_seconds()))
    for unit, unit_seconds in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * unit_seconds:
            return f"{seconds // unit_seconds} {unit}"
    return f"{seconds} s"


def _format_bytes(value: bytes | None) -> str:
    """To the byte, and harmless to a terminal: what is no printable text is escaped as Python does it."""
    return "none" if value is None else _escape(value.decode("utf-8", "surrogateescape"))


def _escape(text: str) -> str:
    return "".join(
        character if character.isprintable() and character != "\\" else _escape_character(character)
        for character in text
    )


def _escape_character(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _parse_origin(text: str) -> Origin:
    try:
        return Origin.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not topic/partition/offset") from None


def _report(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _report_error(reason: str) -> int:
    sys.stderr.write(f"{COMMAND_NAME}: {reason}\n")
    return 1
