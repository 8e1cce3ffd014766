"""What a service can be asked to do on the command line: to serve, and what it offers beside that."""

import argparse
from collections.abc import Callable, Sequence
from typing import TypeAlias

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
AddCommand = Callable[[Subparsers], None]


def parse_arguments(service: str, *add_commands: AddCommand, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked of `service`; where it is wrong, argparse says so and ends with 2."""
    parser = argparse.ArgumentParser(prog=f"python -m services.{service}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    subparsers.add_parser("serve", help="serve; so does no command at all")
    for add_command in add_commands:
        add_command(subparsers)
    return parser.parse_args(argv)
