"""What a service can be asked to do on the command line: to serve, and what it offers beside that."""

import argparse
from collections.abc import Callable, Sequence
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Offer = Callable[[Commands], None]


def arguments(service: str, *offers: Offer, given: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked of `service`; where it is wrong, argparse says so and ends with 2."""
    parser = argparse.ArgumentParser(prog=f"python -m services.{service}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="serve; so does no command at all")
    for offer in offers:
        offer(commands)
    return parser.parse_args(given)
