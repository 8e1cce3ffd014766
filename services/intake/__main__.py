"""The commands of the intake service: `python -m services.intake` serves it.

There is no `rebuild` and no `verify`: intake derives nothing from the topics, its own documents are the source.
"""

from services.intake.app import create_app
from services.intake.settings import Settings
from shared.http.server import serve
from shared.runtime.commands import parse_arguments
from shared.runtime.logs import configure_logging
from shared.runtime.settings import load_settings


def main() -> None:
    parse_arguments("intake")
    settings = load_settings(Settings)
    configure_logging("intake", settings.log_level)
    serve(create_app(settings), settings)


if __name__ == "__main__":
    main()
