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
from shared.kafka.dead_letters.record import Letter, Origin
from shared.kafka.dead_letters.topic import Gone, close, letters_of, redrive, whole
from shared.kafka.producer import Producer
from shared.runtime.clock import now
from shared.runtime.commands import Commands

NAME = "dead-letters"
WARNING = "the message may hold what people said: keep it out of tickets, chats and logs"

Command = Callable[[argparse.Namespace, str, str], Coroutine[None, None, int]]
"""Given what was asked, where Kafka is, and whose letters these are; the exit code."""


Settle = Callable[[Letter, Producer], Coroutine[None, None, str]]
"""Settles one letter, and says so."""


class Wrong(Exception):
    """What was asked for cannot be done as things stand. Its text says why."""


def offer(commands: Commands) -> None:
    """Let it be asked for."""
    parser = commands.add_parser(NAME, help="what could not be read: list it, show it, send it back or close it")
    parser.set_defaults(letters=_list, all=False, json=False)
    whats = parser.add_subparsers(metavar="list | show | redrive | close")
    listed = whats.add_parser("list", help="those that are open, the latest last; so does no word at all")
    listed.add_argument("--all", action="store_true", help="those that are settled as well")
    listed.add_argument("--json", action="store_true", help="for programs")
    listed.set_defaults(letters=_list)
    shown = whats.add_parser("show", help="one, with its message to the byte")
    shown.add_argument("origin", type=_origin, metavar="ORIGIN", help="topic/partition/offset, as the list has it")
    shown.set_defaults(letters=_show)
    back = whats.add_parser("redrive", help="send messages back to where they came from, once the cause is fixed")
    back.add_argument("--again", action="store_true", help="also what is settled")
    back.set_defaults(letters=_redrive)
    closed = whats.add_parser("close", help="note that nobody wants a message; its letter stays, and is open no more")
    closed.set_defaults(letters=_close, again=False)
    for settling in (back, closed):
        settling.add_argument("origins", type=_origin, nargs="*", metavar="ORIGIN", help="topic/partition/offset")
        settling.add_argument("--all", action="store_true", help="all that are open")
        settling.add_argument("--cause", metavar="TEXT", help="of all, those whose cause or reason holds TEXT")
        settling.set_defaults(refuse=settling.error)


def run(asked: argparse.Namespace, servers: str, consumer: str) -> int:
    """Do what was asked with the letters of `consumer`, and say how it ended."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it says at length what we say in a line
    command: Command = asked.letters
    try:
        return asyncio.run(command(asked, servers, consumer))
    except BrokerUnavailable as error:
        return _failed(f"Kafka at {servers}: {error}")
    except (Wrong, Gone) as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        return 130


async def _list(asked: argparse.Namespace, servers: str, consumer: str) -> int:
    found = await letters_of(servers, consumer)
    letters = found if asked.all else [letter for letter in found if letter.settled is None]
    sys.stdout.write(_as_json(letters, now()) if asked.json else _as_table(letters, now()))
    return 0


async def _show(asked: argparse.Namespace, servers: str, consumer: str) -> int:
    (letter,) = _chosen(await letters_of(servers, consumer), [asked.origin], consumer)
    letter = await whole(servers, letter)
    lines = [
        f"origin       {_safe(str(letter.origin))}",
        f"cause        {_safe(letter.cause)}: {_safe(letter.error)}",
        f"set aside    {letter.set_aside_at.isoformat()} ({_age(now() - letter.set_aside_at)} ago)",
        f"settled      {_settled(letter)}",
        *([f"back from    {_safe(letter.came_back_from)}"] if letter.came_back_from else []),
        f"key          {_bytes(letter.key)}",
        *(f"header       {_safe(name)}: {_bytes(value)}" for name, value in letter.headers),
        f"message      {letter.size} bytes",
        _bytes(letter.value),
    ]
    sys.stderr.write(f"{NAME}: {WARNING}\n")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


async def _redrive(asked: argparse.Namespace, servers: str, consumer: str) -> int:
    async def one(letter: Letter, producer: Producer) -> str:
        await redrive(servers, consumer, letter, producer, now)
        return f"redriven {letter.origin}"

    return await _settle(asked, servers, consumer, one)


async def _close(asked: argparse.Namespace, servers: str, consumer: str) -> int:
    async def one(letter: Letter, producer: Producer) -> str:
        await close(consumer, letter, producer, now)
        return f"closed {letter.origin}"

    return await _settle(asked, servers, consumer, one)


async def _settle(asked: argparse.Namespace, servers: str, consumer: str, settle: Settle) -> int:
    if bool(asked.origins) == asked.all:
        asked.refuse("say which: either ORIGIN, one or several, or --all")
    if asked.cause and not asked.all:
        asked.refuse("--cause goes with --all")
    found = await letters_of(servers, consumer)
    chosen = _caused(found, asked.cause) if asked.all else _chosen(found, asked.origins, consumer)
    due = [letter for letter in chosen if asked.again or letter.settled is None]
    for letter in chosen:
        if letter not in due and not asked.all:
            _say(f"{letter.origin} is settled: {_settled(letter)}")
    failed = await _each(due, servers, consumer, settle) if due else 0
    _say(f"{len(due) - failed} done" if due else "nothing to do")
    return 1 if failed else 0


async def _each(letters: Sequence[Letter], servers: str, consumer: str, settle: Settle) -> int:
    """In the order in which they were set aside; how many could not be."""
    producer, failed = Producer(servers, f"attune-{consumer}-{NAME}", large=True), 0
    await producer.start()
    try:
        for number, letter in enumerate(letters):
            try:
                _say(await settle(letter, producer))
            except Gone as gone:
                failed += 1
                _failed(str(gone))
            except MessageSizeTooLargeError:
                failed += 1
                _failed(f"{letter.origin}: Kafka takes no message as large as this one with its mark")
            except BrokerUnavailable as error:
                raise Wrong(
                    f"{number - failed} of {len(letters)} were done before Kafka at {servers} did not acknowledge "
                    f"({error}); the same command does the rest"
                ) from error
    finally:
        await producer.stop()
    return failed


def _chosen(letters: Iterable[Letter], origins: Iterable[Origin], consumer: str) -> list[Letter]:
    by_origin = {letter.origin: letter for letter in letters}
    if unknown := [str(origin) for origin in origins if origin not in by_origin]:
        raise Wrong(f"{consumer} set nothing aside from {', '.join(unknown)}")
    return [by_origin[origin] for origin in dict.fromkeys(origins)]


def _caused(letters: Iterable[Letter], text: str | None) -> list[Letter]:
    return [letter for letter in letters if text is None or text in letter.cause or text in letter.error]


def _as_table(letters: Sequence[Letter], at: datetime) -> str:
    if not letters:
        return "no dead letters\n"
    rows = [("AGE", "CAUSE", "BYTES", "SETTLED", "ORIGIN", "WHY")]
    rows += [
        (
            _age(at - letter.set_aside_at),
            _safe(letter.cause),
            str(letter.size),
            f"{letter.settled.how} {_age(at - letter.settled.at)} ago" if letter.settled else "-",
            _safe(str(letter.origin)),
            _safe(letter.error) + (f" (back from {_safe(letter.came_back_from)})" if letter.came_back_from else ""),
        )
        for letter in letters
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    causes = Counter(letter.cause for letter in letters)
    by_cause = ", ".join(f"{count} {_safe(cause)}" for cause, count in causes.most_common())
    return "\n".join([*lines, f"{len(letters)} dead letters: {by_cause}"]) + "\n"


def _as_json(letters: Sequence[Letter], at: datetime) -> str:
    told = [
        {
            "origin": str(letter.origin),
            "cause": letter.cause,
            "why": letter.error,
            "set_aside_at": letter.set_aside_at.isoformat(),
            "age_seconds": round((at - letter.set_aside_at).total_seconds()),
            "bytes": letter.size,
            "settled": letter.settled.how if letter.settled else None,
            "settled_at": letter.settled.at.isoformat() if letter.settled else None,
            "back_from": letter.came_back_from,
        }
        for letter in letters
    ]
    return json.dumps(told, indent=2) + "\n"


def _settled(letter: Letter) -> str:
    return f"{letter.settled.how} at {letter.settled.at.isoformat()}" if letter.settled else "no"


def _age(age: timedelta) -> str:
    seconds = max(0, round(age.total_seconds()))
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {name}"
    return f"{seconds} s"


def _bytes(value: bytes | None) -> str:
    """To the byte, and harmless to a terminal: what is no printable text is escaped as Python does it."""
    return "none" if value is None else _safe(value.decode("utf-8", "surrogateescape"))


def _safe(text: str) -> str:
    return "".join(c if c.isprintable() and c != "\\" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _origin(told: str) -> Origin:
    try:
        return Origin.parse(told)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{told} is not topic/partition/offset") from None


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _failed(why: str) -> int:
    sys.stderr.write(f"{NAME}: {why}\n")
    return 1
