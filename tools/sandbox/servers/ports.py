"""Finds free ports."""

import random
import socket

# Below the range from which Linux draws ports for outgoing connections (32768 and up). A client that
# retries while its server is down could otherwise be given the server's own port, connect to itself,
# and keep the server from coming back.
PORT_RANGE = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """`count` different ports that are free at this moment."""
    return [port for port in random.sample(PORT_RANGE, 40 * count) if is_free(port)][:count]


def is_free(port: int) -> bool:
    """Whether a server could listen on the port."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers themselves do
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
