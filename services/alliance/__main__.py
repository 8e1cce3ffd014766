"""The commands of the alliance service: `python -m services.alliance` serves it."""

from services.alliance.app import create_app
from services.alliance.settings import Settings
from shared.http.server import serve
from shared.logs import configure
from shared.settings import load


def main() -> None:
    settings = load(Settings)
    configure("alliance", settings.log_level)
    serve(create_app(settings), settings)


if __name__ == "__main__":
    main()
