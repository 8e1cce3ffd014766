"""The commands of the intake service: `python -m services.intake` serves it, `--help` lists the others.

There is no `rebuild` and no `verify`: intake derives nothing from the topics, its own documents are the source.
"""

import sys

import structlog

from services.intake import commands
from services.intake.app import create_app
from services.intake.settings import Settings
from shared.http.server import serve
from shared.runtime.commands import parse_arguments
from shared.runtime.logs import configure_logging
from shared.runtime.settings import load_settings


def main() -> int:
    args = parse_arguments("intake", commands.add_command)
    settings = load_settings(Settings)
    if args.command == commands.COMMAND_NAME:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # the link goes to standard output
        return commands.run(args, settings)
    configure_logging("intake", settings.log_level)
    serve(create_app(settings), settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
