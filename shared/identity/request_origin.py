"""Whether a browser sends a request from a page of ours, or another site made it do so."""

from collections.abc import Mapping
from urllib.parse import urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing. A link of another site may use them."""
DEFAULT_PORTS = {"http": 80, "https": 443}


def is_from_our_pages(headers: Mapping[str, str], public_url: str) -> bool:
    """Whether the browser says that the request comes from a page at `public_url`, or from its user alone.

    `Sec-Fetch-Site` decides, which no page can set. Browsers that do not send it send `Origin` with every request that
    can change something. A browser that says neither is refused.
    """
    fetch_site = headers.get("sec-fetch-site")
    if fetch_site is not None:
        return fetch_site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and _parse_origin(origin) == _parse_origin(public_url) is not None


def _parse_origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None if it has no host, like the `null` of a page that hides where it is from."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None
