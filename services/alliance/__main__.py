"""The commands of the alliance service: `python -m services.alliance` serves it, `--help` names the others."""

import sys

from services.alliance import commands
from services.alliance.app import create_app
from services.alliance.policies.files import InvalidPolicy
from services.alliance.settings import Settings
from shared.http.server import serve
from shared.kafka.dead_letters import commands as dead_letters
from shared.runtime.logs import configure_logging
from shared.runtime.settings import load_settings


def main() -> int:
    args = commands.parse_arguments()
    settings = load_settings(Settings)
    if args.command == dead_letters.COMMAND_NAME:
        return dead_letters.run(args, settings.kafka_bootstrap_servers, "alliance")
    try:
        if args.command not in (None, "serve"):
            return commands.run(args, settings)
        configure_logging("alliance", settings.log_level)
        app = create_app(settings)
    except InvalidPolicy as error:
        sys.stderr.write(f"policy: {error}\n")
        return 2
    serve(app, settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
