"""The commands of the sessions service: `python -m services.sessions` serves it, `--help` lists the others."""

import sys

from services.sessions.app import create_app
from services.sessions.settings import Settings
from shared.http.server import serve
from shared.kafka.dead_letters import commands as dead_letters
from shared.runtime.commands import parse_arguments
from shared.runtime.logs import configure_logging
from shared.runtime.settings import load_settings


def main() -> int:
    args = parse_arguments("sessions", dead_letters.add_command)
    settings = load_settings(Settings)
    if args.command == dead_letters.COMMAND_NAME:
        return dead_letters.run(args, settings.kafka_bootstrap_servers, "sessions")
    configure_logging("sessions", settings.log_level)
    serve(create_app(settings), settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
