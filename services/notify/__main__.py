"""The commands of the notify service: `python -m services.notify` serves it, `--help` names the others."""

import sys

from services.notify import commands
from services.notify.app import create_app
from services.notify.settings import Settings
from shared.http.server import serve
from shared.kafka.dead_letters import commands as dead_letters
from shared.runtime.commands import arguments
from shared.runtime.logs import configure
from shared.runtime.settings import load


def main() -> int:
    args = arguments("notify", commands.offer, dead_letters.offer)
    settings = load(Settings)
    if args.command == dead_letters.NAME:
        return dead_letters.run(args, settings.kafka_bootstrap_servers, "notify")
    if args.command in commands.NAMES:
        return commands.run(args, settings)
    configure("notify", settings.log_level)
    serve(create_app(settings), settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
