"""The commands of the notify service: `python -m services.notify` serves it."""

from services.notify.app import create_app
from services.notify.settings import Settings
from shared.http.server import serve
from shared.logs import configure
from shared.settings import load


def main() -> None:
    settings = load(Settings)
    configure("notify", settings.log_level)
    serve(create_app(settings), settings)


if __name__ == "__main__":
    main()
