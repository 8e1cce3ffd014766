"""The front door of the demo: all services at one address, as at the gateway in production.

Browsers treat http://localhost as secure, so cookies are what they are in production.
"""

import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

from tools.sandbox.servers import npm
from tools.sandbox.servers.certificate import Certificate, create_certificate
from tools.sandbox.servers.front_door_routes import APIS, FORM_PAGES, FORWARDED_HEADERS, PAGES
from tools.sandbox.servers.process import LocalServer, Report, RunError

HOST = "localhost"
DOCUMENTATION_ADDRESS = ("192.0.2.1", 9)  # nothing is sent there: the system only chooses the way


@dataclass(frozen=True)
class FrontDoor:
    """The server, and the addresses at which browsers find it."""

    server: LocalServer
    url: str
    lan_url: str | None
    """Where other machines of the network find clients' forms, and nothing else; None if they are not served."""
    certificate: Certificate | None
    start_page: Path
    """The page at `/` of `url`; there is none as long as this file does not exist."""


def create_front_door(
    data: Path,
    port: int,
    service_urls: Mapping[str, str],
    *,
    has_tls: bool = False,
    lan_address: str | None = None,
    report: Report = print,
) -> FrontDoor:
    """The front door to the services at `service_urls`; not started. Raises RunError if Node lacks its packages.

    `has_tls` is for browsers that do not treat http://localhost as secure. `lan_address` is the address of this machine
    at which others are to find clients' forms.
    """
    data = data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    addresses = [HOST, "127.0.0.1", *([lan_address] if lan_address else [])]
    certificate = create_certificate(data, addresses) if has_tls else None
    start_page = data / "start-page.html"
    listeners = [_listener("127.0.0.1", f"{HOST}:{port}", port, all_routes(service_urls), start_page)]
    if lan_address:
        listeners.append(_listener(lan_address, f"{lan_address}:{port}", port, form_routes(service_urls), None))
    configuration_file = data / "configuration.json"
    configuration_file.write_text(json.dumps(_configuration(listeners, certificate)))
    scheme = "https" if has_tls else "http"
    server = LocalServer(
        name="front door",
        address=f"{scheme}://{HOST}:{port}",
        command=[
            *(npm.find_node(), npm.NODE_FOLDER / "front-door.mjs"),
            *(configuration_file, npm.provide_packages(report)),
        ],
        data=data,
        port=port,
        is_ready=partial(_is_ready, port, certificate),
        report=report,
    )
    lan_url = lan_address and f"{scheme}://{lan_address}:{port}"
    return FrontDoor(server, server.address, lan_url, certificate, start_page)


def all_routes(service_urls: Mapping[str, str]) -> list[dict[str, str]]:
    """The pages of all services, and each service's API below `/<service>`."""
    return [
        *(_route(start, service_urls[service]) for start, service in PAGES.items()),
        *(_route(f"/{name}{start}", service_urls[name], removed_prefix=f"/{name}") for name, start in APIS.items()),
    ]


def form_routes(service_urls: Mapping[str, str]) -> list[dict[str, str]]:
    """Clients' forms and their style."""
    return [_route(start, service_urls[PAGES[start]]) for start in FORM_PAGES]


def find_lan_address() -> str:
    """The address of this machine in its network. Raises RunError if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(DOCUMENTATION_ADDRESS)
            return str(probe.getsockname()[0])
        except OSError:
            raise RunError(
                "DEMO_LAN is set, but this machine is in no network; connect it, or unset DEMO_LAN"
            ) from None


def _route(start: str, target: str, removed_prefix: str = "") -> dict[str, str]:
    return {"start": start, "target": target, "removed_prefix": removed_prefix}


def _listener(
    address: str, host: str, port: int, routes: Sequence[Mapping[str, str]], start_page: Path | None
) -> dict[str, Any]:
    start_file = start_page and str(start_page)
    return {"address": address, "host": host, "port": port, "routes": routes, "start_page": start_file}


def _configuration(listeners: Sequence[Mapping[str, Any]], certificate: Certificate | None) -> dict[str, Any]:
    tls = {"certificate": str(certificate.file), "key": str(certificate.key_file)} if certificate else None
    return {"listeners": listeners, "tls": tls, "forwarded_headers": FORWARDED_HEADERS}


def _is_ready(port: int, certificate: Certificate | None) -> bool:
    """Whether it answers; there may be no start page."""
    context = ssl.create_default_context(cafile=certificate.file) if certificate else None
    connection = HTTPSConnection(HOST, port, timeout=5, context=context) if context else HTTPConnection(HOST, port)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status in (200, 404)
    finally:
        connection.close()
