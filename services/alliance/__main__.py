"""The commands of the alliance service: `python -m services.alliance` serves it, `--help` lists the others."""

import sys

import structlog

from services.alliance.app import create_app
from services.alliance.policies import commands as policies
from services.alliance.policies.files import InvalidPolicy, load_policies
from services.alliance.rebuild import VIEW_SOURCE, view_factory
from services.alliance.settings import Settings
from shared.http.server import serve
from shared.kafka.dead_letters import commands as dead_letters
from shared.rebuild import commands as rebuild
from shared.runtime.commands import parse_arguments
from shared.runtime.logs import configure_logging
from shared.runtime.settings import load_settings


def main() -> int:
    args = parse_arguments("alliance", policies.add_commands, rebuild.add_commands, dead_letters.add_command)
    settings = load_settings(Settings)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # results go to standard output
    if args.command == dead_letters.COMMAND_NAME:
        return dead_letters.run(args, settings.kafka_bootstrap_servers, "alliance")
    try:
        if args.command in rebuild.COMMANDS:
            view = view_factory(settings, load_policies(settings.policy_dir))
            return rebuild.run(args, settings, VIEW_SOURCE, view)
        if args.command in policies.COMMANDS:
            return policies.run(args, settings, load_policies(settings.policy_dir))
        configure_logging("alliance", settings.log_level)
        app = create_app(settings)
    except InvalidPolicy as error:
        sys.stderr.write(f"policy: {error}\n")
        return 2
    serve(app, settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
