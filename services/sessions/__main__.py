"""The commands of the sessions service: `python -m services.sessions` serves it, `--help` lists the others."""

import sys

from services.sessions.app import create_app
from services.sessions.rebuild import VIEW_SOURCE, create_view
from services.sessions.settings import Settings
from shared.http.server import serve
from shared.kafka.dead_letters import commands as dead_letters
from shared.rebuild import commands as rebuild
from shared.runtime.commands import parse_arguments
from shared.runtime.logs import configure_logging
from shared.runtime.settings import load_settings


def main() -> int:
    args = parse_arguments("sessions", rebuild.add_commands, dead_letters.add_command)
    settings = load_settings(Settings)
    if args.command == dead_letters.COMMAND_NAME:
        return dead_letters.run(args, settings.kafka_bootstrap_servers, "sessions")
    if args.command in rebuild.COMMANDS:
        return rebuild.run(args, settings, VIEW_SOURCE, create_view)
    configure_logging("sessions", settings.log_level)
    serve(create_app(settings), settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
