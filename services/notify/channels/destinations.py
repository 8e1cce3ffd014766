"""Connecting only to where a webhook may lead: each name is resolved once, checked, and connected to as resolved."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

from httpx2 import (
    URL,
    AsyncBaseTransport,
    AsyncHTTPTransport,
    ConnectError,
    ConnectTimeout,
    InvalidURL,
    Limits,
    Request,
    Response,
)

from services.notify.domain.destinations import AllowedDestinations, IPAddress, parse_address, refusal
from shared.errors import Permanent

Resolve = Callable[[str], Awaitable[Sequence[IPAddress]]]
"""The addresses of a host, in the order in which to try them. Raises OSError."""


class DestinationRefused(Permanent):
    """A webhook must not be sent to this URL. The text says why, without host or address."""


async def resolve_host(host: str) -> Sequence[IPAddress]:
    """The addresses of the host, as the system resolves it. Raises OSError."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label that is longer than names can be
        raise OSError("the host name is not valid") from None
    return [parse_address(str(address[0])) for *_, address in found]


class Destinations:
    """Where webhooks may be sent: the same rule when an address is saved and when it is used.

    They never lead to `public_url`, whatever the operator allows: clients' forms there ask for no password. Another
    name of that machine is no way around it, because its certificate and its services know the public name only.
    """

    def __init__(self, allowed: AllowedDestinations, resolve: Resolve = resolve_host, *, public_url: str) -> None:
        self._allowed = allowed
        self._own_origin = _origin(URL(public_url))
        self._resolve = resolve

    async def resolve(self, url: URL) -> Sequence[IPAddress]:
        """The addresses to which a request for `url` may connect.

        Raises DestinationRefused when only one of them is not allowed, and OSError when there are none.
        """
        if url.userinfo:
            raise DestinationRefused("must not contain a user name or a password")
        if url.fragment:
            raise DestinationRefused("must not contain a fragment (#)")
        if _origin(url) == self._own_origin:
            raise DestinationRefused("must not lead to Attune itself")
        host = url.raw_host.decode("ascii")
        addresses = await self._resolve(host)
        if not addresses:
            raise OSError("the host has no address")
        for address in addresses:
            if (reason := refusal(url.scheme, host, address, self._allowed)) is not None:
                raise DestinationRefused(reason)
        return addresses

    async def check(self, url: str) -> None:
        """Raises DestinationRefused. A host that cannot be resolved now passes: it is checked again when it is used."""
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_SECONDS):
                await self.resolve(URL(url))
        except InvalidURL:
            raise DestinationRefused("is not a valid URL") from None
        except OSError:  # a TimeoutError, too
            return


def _origin(url: URL) -> tuple[bytes, int]:
    """The host and the port; the scheme does not matter."""
    return url.raw_host.rstrip(b"."), url.port or (80 if url.scheme == "http" else 443)


RESOLVE_TIMEOUT_SECONDS = 5.0
"""How long saving an address waits for a name server."""


class CheckedTransport(AsyncBaseTransport):
    """Sends each request over a connection of its own, to a checked address.

    A connection is never reused: it would be found by its address alone, and could then carry the request for one host
    over a connection whose certificate was checked for another.
    """

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations
        self._transport = AsyncHTTPTransport(limits=Limits(max_keepalive_connections=0))

    async def handle_async_request(self, request: Request) -> Response:
        """Try the addresses of the host in turn. Raises DestinationRefused, and the errors of a transport."""
        try:
            addresses = await self._destinations.resolve(request.url)
        except OSError:
            raise ConnectError("the host cannot be resolved", request=request) from None
        for address in addresses[:-1]:
            try:
                return await self._send(request, address)
            except (ConnectError, ConnectTimeout):
                continue
        return await self._send(request, addresses[-1])

    async def _send(self, request: Request, address: IPAddress) -> Response:
        return await self._transport.handle_async_request(
            Request(
                request.method,
                request.url.copy_with(host=str(address)),
                headers=request.headers,  # with the Host of the URL
                stream=request.stream,
                # The certificate must be that of the host, although the connection is made to its address.
                extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode("ascii")},
            )
        )

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()
