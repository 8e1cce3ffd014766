"""`python -m tools.sandbox.clinic`: a simulated clinic network that uses the other containers of the project."""

import asyncio
import os
import sys

from tools.sandbox.demo.__main__ import DATA_FOLDER, Demo
from tools.sandbox.demo.display import PageAddresses
from tools.sandbox.network.receivers import ReceivedEmail, ReceivedWebhook, run_webhook_server
from tools.sandbox.servers.process import RunError
from tools.sandbox.servers.signals import interrupt_on_sigterm
from tools.sandbox.servers.stack import SERVICES, RunningStack

WEBHOOK_PORT = 8090


def main() -> None:
    urls, ops_urls = ({name: f"http://{name}:{port}" for name in SERVICES} for port in (8000, 9000))
    kafka = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if kafka is None:
        sys.exit("KAFKA_BOOTSTRAP_SERVERS is not set. docker-compose.yml sets it; outside of it, use `make demo`.")
    interrupt_on_sigterm()
    attune = RunningStack(kafka, "", urls, ops_urls, servers=(), services=(), startup_seconds=0.0)
    DATA_FOLDER.mkdir(parents=True, exist_ok=True)
    received_webhooks = list[ReceivedWebhook]()
    try:
        with run_webhook_server(WEBHOOK_PORT, received_webhooks, ""):
            pages, webhook_base_url = PageAddresses(urls["notify"]), f"http://clinic:{WEBHOOK_PORT}"
            asyncio.run(Demo(attune, list[ReceivedEmail](), received_webhooks, webhook_base_url, pages).run())
    except RunError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("Stopped. The next start continues from here.")


if __name__ == "__main__":
    main()
