"""Protects every answer: only to requests for our own hosts, and never kept by a cache."""

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.problems import unknown_host_response


class ProtectionMiddleware:
    """Rejects requests for a host that is not ours, and marks answers as not to be stored unless they say otherwise.

    A foreign page could otherwise give its own name our address, and read and write from a browser on our network.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str] | None) -> None:
        self._app = app
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_unstored(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Cache-Control", "no-store")
            await send(message)

        if scope["type"] == "http" and not self._is_allowed(Headers(scope=scope).get("host", "")):
            await unknown_host_response(scope)(scope, receive, send_unstored)
        else:
            await self._app(scope, receive, send_unstored)

    def _is_allowed(self, host: str) -> bool:
        return self._allowed_hosts is None or parse_host(host) in self._allowed_hosts


def parse_host(host: str) -> str:
    """The name in a Host header, without the port."""
    name, separator, port = host.rpartition(":")
    return (name if separator and port.isdecimal() else host).strip("[]").lower()
