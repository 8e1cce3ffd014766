"""Resolves the names of containers and of the gateway on the machine that runs them."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def resolve_names(address_of: Callable[[str], str | None]) -> Iterator[None]:
    """Resolve names through `address_of` first, and through the system where it returns None."""
    original: Any = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return original((address_of(name) if name else None) or host, *args, **kwargs)

    socket.getaddrinfo = resolve
    try:
        yield
    finally:
        socket.getaddrinfo = original
