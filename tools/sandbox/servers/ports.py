"""Ports on which nobody listens yet."""

import random
import socket

# Below the range from which Linux draws ports for outgoing connections (32768 and up). A client that
# retries while its server is down could otherwise be given the server's own port, connect to itself,
# and keep the server from coming back.
PORT_RANGE = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """As many different ports, free at this moment."""
    return [port for port in random.sample(PORT_RANGE, 40 * count) if is_free(port)][:count]


def is_free(port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers themselves do
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
