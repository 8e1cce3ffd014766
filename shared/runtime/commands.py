"""The command line of a service: `serve`, and the commands that it adds."""

import argparse
from collections.abc import Callable, Sequence
from typing import TypeAlias

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
AddCommand = Callable[[Subparsers], None]


def parse_arguments(service: str, *add_commands: AddCommand, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments given to `service`; if they are wrong, argparse reports it and exits with 2."""
    parser = argparse.ArgumentParser(prog=f"python -m services.{service}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    subparsers.add_parser("serve", help="serve (the default)")
    for add_command in add_commands:
        add_command(subparsers)
    return parser.parse_args(argv)
