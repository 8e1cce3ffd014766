"""`python -m tests.system.operate.service NAME`: a service that counts its open dead letters as often as rules need.

By default it counts them once a minute, which is as slow for accelerated rules as 20 minutes are in production.
"""

import sys
from importlib import import_module

from shared.kafka import client
from tests.system.operate.accelerated import SPEEDUP


def main() -> None:
    _, name, *arguments = sys.argv
    sys.argv = [f"services.{name}", *arguments]
    client.DEAD_LETTER_COUNT_INTERVAL_SECONDS /= SPEEDUP
    import_module(f"services.{name}.__main__").main()


if __name__ == "__main__":
    main()
