"""Serving HTTP. The socket is opened first, so that a port in use gives one clear line."""

import errno
import signal
import socket
import sys
from typing import Protocol

import uvicorn
from fastapi import FastAPI

from shared.runtime.garbage_collection import tune_garbage_collector

DRAIN_TIMEOUT_SECONDS = 5
"""How long running requests may take after SIGTERM; then open event streams are closed."""


class ListenSettings(Protocol):
    """The address to listen on."""

    @property
    def http_host(self) -> str: ...

    @property
    def http_port(self) -> int: ...


def serve(app: FastAPI, settings: ListenSettings) -> None:
    """Serve `app` until SIGTERM or SIGINT, then finish the running requests."""
    server_socket = _listen(settings.http_host, settings.http_port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_TIMEOUT_SECONDS,
    )
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: None)  # uvicorn raises it again after a clean shutdown
    tune_garbage_collector()
    uvicorn.Server(config).run(sockets=[server_socket])


def _listen(host: str, port: int) -> socket.socket:
    """The socket, of the family of `host`. If it cannot be opened: one line that says what to change, and exit."""
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        setting = "HTTP_PORT" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "HTTP_HOST"
        sys.exit(f"http: cannot listen on {address}: {error.strerror}; choose another {setting}")
