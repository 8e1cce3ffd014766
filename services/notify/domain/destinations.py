"""Which addresses a webhook may lead to: public ones by https, and those that the operator lists.

Whoever may set a clinician's channels chooses the URL. Without this rule, Attune would send requests on that person's
behalf to its own pages, to the databases beside it, or to the metadata service of a cloud.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from re import fullmatch
from typing import Self

IPAddress = IPv4Address | IPv6Address

_IPV6_PUBLIC = IPv6Network("2000::/3")
"""All that is assigned for the internet: no mapped, translated, unique local or link-local address is in it."""
_NOT_PUBLIC: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments, among them a cloud's metadata service
    IPv4Network("168.63.129.16/32"),  # a cloud's metadata service, at an address that looks public
    IPv6Network("2001::/23"),  # protocol assignments, among them tunnels that carry an IPv4 address
    IPv6Network("2002::/16"),  # 6to4, which carries an IPv4 address
)
_IPV6_TRANSLATED = IPv6Network("64:ff9b::/96")
"""How networks without IPv4 reach IPv4 addresses (RFC 6052): the last 32 bits are the real destination."""


def is_public(address: IPAddress) -> bool:
    """Whether the address belongs to the internet, and not to this machine, this network or its operator."""
    if isinstance(address, IPv6Address):
        if address in _IPV6_TRANSLATED:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        if address not in _IPV6_PUBLIC:
            return False
    is_assigned = address.is_global and not address.is_multicast
    return is_assigned and not any(address in network for network in _NOT_PUBLIC)


@dataclass(frozen=True)
class AllowedDestinations:
    """What the operator allows webhooks to reach besides public addresses; by http, too."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    hosts: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read addresses, networks such as 10.1.0.0/16, and host names, separated by commas. Raises ValueError."""
        entries = [entry.strip() for entry in text.split(",") if entry.strip()]
        networks = {entry: network for entry in entries if (network := _parse_network(entry)) is not None}
        hosts = [entry for entry in entries if entry not in networks]
        for host in hosts:
            if not fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", host):
                raise ValueError(f"`{host}` is neither an address, nor a network, nor a host name")
        return cls(tuple(networks.values()), frozenset(map(_normalize_host, hosts)))

    def includes(self, host: str, address: IPAddress) -> bool:
        """Whether the operator lists the host of the URL, or the address to which it resolves."""
        return _normalize_host(host) in self.hosts or any(address in network for network in self.networks)


def refusal(scheme: str, host: str, address: IPAddress, allowed: AllowedDestinations) -> str | None:
    """Why a webhook must not be sent there; None if it may. The text names neither the host nor the address."""
    if scheme not in ("http", "https"):
        return "must begin with https"
    if allowed.includes(host, address):
        return None
    if scheme == "http":
        return "must begin with https; the operator of Attune can allow http to this receiver with WEBHOOK_ALLOW"
    if not is_public(address):
        return (
            "leads to a loopback, private, link-local or otherwise reserved address; "
            "the operator of Attune can allow it with WEBHOOK_ALLOW"
        )
    return None


def _parse_network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(entry)
    except ValueError:
        if "/" in entry or ":" in entry:
            raise ValueError(f"`{entry}` is not a network: write it like 10.1.0.0/16 or fd00::/8") from None
        return None


def _normalize_host(host: str) -> str:
    return host.lower().rstrip(".")


def parse_address(text: str) -> IPAddress:
    """The address, without the network interface that follows a link-local one."""
    return ip_address(text.partition("%")[0])
