"""The names that containers have for each other and for the gateway, resolved on the machine that runs them."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def resolved(known: Callable[[str], str | None]) -> Iterator[None]:
    """Ask `known` for the address of a name first, and then whom one asks otherwise."""
    original: Any = socket.getaddrinfo

    def ask(host: Any, *more: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return original((known(name) if name else None) or host, *more, **kwargs)

    socket.getaddrinfo = ask
    try:
        yield
    finally:
        socket.getaddrinfo = original
