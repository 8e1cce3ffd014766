"""Receivers of deliveries: a real SMTP server and a real HTTP server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from ssl import SSLContext
from typing import Any

import uvicorn
from aiosmtpd.controller import Controller
from fastapi import FastAPI, Request, Response

from tests.support.serving import wait_until


class Mailbox:
    """An SMTP server that records messages, rejects chosen addresses, and can delay its response."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.rejections: dict[str, str] = {}
        self.attempts: list[str] = []
        self.ehlo_names: list[str] = []
        """As the clients greeted; one for each recipient."""
        self.encrypted: list[bool] = []
        """Whether the connection was encrypted; one for each recipient."""
        self.data_delay_seconds = 0.0
        """The time from receiving a message to the response."""

    def received_by(self, address: str) -> list[EmailMessage]:
        return [message for message in self.received if message["To"] == address]

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: object, session: Any, envelope: Any, address: str, _options: object
    ) -> str:
        self.attempts.append(address)
        self.ehlo_names.append(session.host_name)
        self.encrypted.append(session.ssl is not None)
        if address in self.rejections:
            return self.rejections[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802
        self.received.append(message_from_bytes(envelope.content, policy=policy.default))
        await asyncio.sleep(self.data_delay_seconds)
        return "250 OK"

    @contextmanager
    def run(self, port: int, tls_context: SSLContext | None = None) -> Iterator[None]:
        """Run it; with a `tls_context` it offers STARTTLS."""
        server = Controller(self, hostname="127.0.0.1", port=port, tls_context=tls_context)
        server.start()
        try:
            yield
        finally:
            server.stop()


class WebhookReceiver:
    """An HTTP server that records requests, and responds with chosen statuses, then with 204.

    With each chosen status it sends `retry_after`, if that is set.
    """

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.response_statuses: list[int] = []
        self.retry_after = ""
        self.url = ""

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        app = FastAPI()

        @app.post("/hook")
        async def hook(request: Request) -> Response:
            self.received.append((dict(request.headers), await request.body()))
            if not self.response_statuses:
                return Response(status_code=204)
            headers = {"Location": "/hook"} | ({"Retry-After": self.retry_after} if self.retry_after else {})
            return Response(status_code=self.response_statuses.pop(0), headers=headers)

        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
        server_task = asyncio.create_task(server.serve())
        await wait_until(lambda: _has_started(server))
        self.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/hook"
        try:
            yield
        finally:
            server.should_exit = True
            await server_task


async def _has_started(server: uvicorn.Server) -> bool:
    return server.started
