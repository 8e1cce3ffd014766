"""The commands of the sessions service: `python -m services.sessions` serves it."""

from services.sessions.app import create_app
from services.sessions.settings import Settings
from shared.http.server import serve
from shared.logs import configure
from shared.settings import load


def main() -> None:
    settings = load(Settings)
    configure("sessions", settings.log_level)
    serve(create_app(settings), settings)


if __name__ == "__main__":
    main()
