"""The command line of the notify service: `python -m services.notify` serves it, `--help` lists the other commands."""

import sys

from services.notify import commands
from services.notify.app import create_app
from services.notify.settings import Settings
from shared.http.server import serve
from shared.kafka.dead_letters import commands as dead_letters
from shared.runtime.commands import parse_arguments
from shared.runtime.logs import configure_logging
from shared.runtime.settings import load_settings


def main() -> int:
    args = parse_arguments("notify", commands.add_commands, dead_letters.add_command)
    settings = load_settings(Settings)
    if args.command == dead_letters.COMMAND_NAME:
        return dead_letters.run(args, settings.kafka_bootstrap_servers, "notify")
    if args.command in commands.COMMANDS:
        return commands.run(args, settings)
    configure_logging("notify", settings.log_level)
    serve(create_app(settings), settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
