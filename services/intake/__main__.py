"""The commands of the intake service: `python -m services.intake` serves it."""

from services.intake.app import create_app
from services.intake.settings import Settings
from shared.http.server import serve
from shared.runtime.commands import arguments
from shared.runtime.logs import configure
from shared.runtime.settings import load


def main() -> None:
    arguments("intake")
    settings = load(Settings)
    configure("intake", settings.log_level)
    serve(create_app(settings), settings)


if __name__ == "__main__":
    main()
