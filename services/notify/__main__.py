"""The commands of the notify service: `python -m services.notify` serves it, `--help` lists the others."""

import sys

from services.notify.app import create_app
from services.notify.rebuild import VIEW_SOURCE, view_factory
from services.notify.settings import Settings
from shared.http.server import serve
from shared.kafka.dead_letters import commands as dead_letters
from shared.rebuild import commands as rebuild
from shared.runtime.commands import parse_arguments
from shared.runtime.logs import configure_logging
from shared.runtime.settings import load_settings


def main() -> int:
    args = parse_arguments("notify", rebuild.add_commands, dead_letters.add_command)
    settings = load_settings(Settings)
    if args.command == dead_letters.COMMAND_NAME:
        return dead_letters.run(args, settings.kafka_bootstrap_servers, "notify")
    if args.command in rebuild.COMMANDS:
        return rebuild.run(args, settings, VIEW_SOURCE, view_factory(settings))
    configure_logging("notify", settings.log_level)
    serve(create_app(settings), settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
