"""Serving HTTP. The sockets are opened first, so that a port in use gives one clear line."""

import errno
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Protocol

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from shared.http.ops import OpsRouter
from shared.runtime.garbage_collection import tune_garbage_collector

DRAIN_TIMEOUT_SECONDS = 5
"""How long running requests may take after SIGTERM; then open event streams are closed."""


class OpsSettings(Protocol):
    """The address of the ops listener."""

    @property
    def ops_host(self) -> str: ...

    @property
    def ops_port(self) -> int: ...


class ListenSettings(OpsSettings, Protocol):
    """The addresses to listen on."""

    @property
    def http_host(self) -> str: ...

    @property
    def http_port(self) -> int: ...


def serve(app: FastAPI, settings: ListenSettings) -> None:
    """Serve `app`, and its ops application on a listener of its own.

    After SIGTERM or SIGINT the running requests are finished.
    """
    api_socket = _listen(settings.http_host, settings.http_port, "HTTP")
    _run(OpsRouter(app, settings.ops_port), [api_socket, _listen_for_ops(settings)])


def serve_ops(ops: FastAPI, settings: OpsSettings) -> None:
    """Serve the ops application of a process that has no other."""
    _run(ops, [_listen_for_ops(settings)])


def create_server(app: ASGIApp) -> uvicorn.Server:
    """A server that closes the connections of `app` within the time that a container has to stop."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_TIMEOUT_SECONDS,
    )
    return uvicorn.Server(config)


def _run(app: ASGIApp, sockets: Sequence[socket.socket]) -> None:
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: None)  # uvicorn raises it again after a clean shutdown
    tune_garbage_collector()
    create_server(app).run(sockets=list(sockets))


def _listen_for_ops(settings: OpsSettings) -> socket.socket:
    return _listen(settings.ops_host, settings.ops_port, "OPS")


def _listen(host: str, port: int, listener: str) -> socket.socket:
    """The socket, of the family of `host`. If it cannot be opened: one line that says what to change, and exit."""
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        setting = f"{listener}_PORT" if error.errno in (errno.EADDRINUSE, errno.EACCES) else f"{listener}_HOST"
        sys.exit(f"http: cannot listen on {address}: {error.strerror}; choose another {setting}")
