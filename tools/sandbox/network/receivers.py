"""Receivers of Attune's messages: a real SMTP server and a real web server on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as Connection


def receiver_settings(smtp_port: int) -> dict[str, str]:
    """The settings with which notify sends to receivers on this machine, as an operator would allow them."""
    return {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(smtp_port),
        "SMTP_TLS": "none",
        "WEBHOOK_ALLOW": "127.0.0.1",
    }


@dataclass(frozen=True)
class ReceivedEmail:
    recipients: tuple[str, ...]
    message: EmailMessage
    received_at: datetime

    @property
    def text(self) -> str:
        """The whole message with its headers, and the content of its body."""
        return self.message.as_string() + str(self.message.get_body(("plain", "html")) or "")


@dataclass(frozen=True)
class ReceivedWebhook:
    path: str
    headers: dict[str, str]
    body: bytes
    received_at: datetime


@contextmanager
def run_smtp_server(port: int, received: list[ReceivedEmail], host: str = "127.0.0.1") -> Iterator[None]:
    """An SMTP server that appends every e-mail to `received`."""
    controller = Controller(_SmtpHandler(received), hostname=host, port=port)
    controller.start()
    try:
        yield
    finally:
        controller.stop()


@contextmanager
def run_webhook_server(port: int, received: list[ReceivedWebhook], host: str = "127.0.0.1") -> Iterator[None]:
    """A web server that appends every request to `received` and responds with 204."""

    class WebhookHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            if len(body) < length:  # the sender was killed in between: nothing was received
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            received.append(ReceivedWebhook(self.path, headers, body, datetime.now(UTC)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_line: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer((host, port), WebhookHandler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _SmtpHandler:
    def __init__(self, received: list[ReceivedEmail]) -> None:
        self._received = received

    async def handle_DATA(self, _server: SMTP, _connection: Connection, envelope: Envelope) -> str:  # noqa: N802
        content = cast("Any", envelope.content)
        message = message_from_bytes(content, policy=policy.default)
        self._received.append(ReceivedEmail(tuple(envelope.rcpt_tos), message, datetime.now(UTC)))
        return "250 OK"
