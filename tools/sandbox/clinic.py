"""`python -m tools.sandbox.clinic`: a simulated clinic network that uses the containers beside it."""

import asyncio
import os
import sys

from tools.sandbox.demo.__main__ import DATA, Demo
from tools.sandbox.network.receivers import Hook, Mail, web_server
from tools.sandbox.servers.process import CannotRun
from tools.sandbox.servers.signals import end_on_sigterm
from tools.sandbox.servers.stack import SERVICES, Stack

HOOKS = 8090  # where its systems take webhooks


def main() -> None:
    end_on_sigterm()
    urls = {name: f"http://{name}:8000" for name in SERVICES}
    attune = Stack(os.environ["KAFKA_BOOTSTRAP_SERVERS"], "", urls, servers=(), services=(), seconds=0.0)
    DATA.mkdir(parents=True, exist_ok=True)
    received_webhooks = list[Hook]()
    try:
        with web_server(HOOKS, received_webhooks, ""):
            asyncio.run(Demo(attune, list[Mail](), received_webhooks, f"http://clinic:{HOOKS}").live())
    except CannotRun as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("Stopped; it goes on from here.")


if __name__ == "__main__":
    main()
