"""Where messages arrive: a real SMTP server and a real HTTP receiver."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import uvicorn
from aiosmtpd.controller import Controller
from fastapi import FastAPI, Request, Response

from tests.support.serving import until


class Mailbox:
    """What an SMTP server took; it refuses the addresses it is told to, and may look at a message for long."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.refused: dict[str, str] = {}
        self.tries: list[str] = []
        self.looks_for = 0.0
        """Seconds from its having a message to its answer."""

    def of(self, address: str) -> list[EmailMessage]:
        return [message for message in self.taken if message["To"] == address]

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: object, _session: object, envelope: Any, address: str, _options: object
    ) -> str:
        self.tries.append(address)
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802
        self.taken.append(message_from_bytes(envelope.content, policy=policy.default))
        await asyncio.sleep(self.looks_for)
        return "250 OK"

    @contextmanager
    def listening(self, port: int) -> Iterator[None]:
        server = Controller(self, hostname="127.0.0.1", port=port)
        server.start()
        try:
            yield
        finally:
            server.stop()


class Hook:
    """What an HTTP receiver was sent; it answers with the statuses it is told to, then with 204."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        app = FastAPI()

        @app.post("/hook")
        async def hook(request: Request) -> Response:
            self.taken.append((dict(request.headers), await request.body()))
            return Response(status_code=self.answers.pop(0) if self.answers else 204, headers={"Location": "/hook"})

        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
        server_task = asyncio.create_task(server.serve())
        await until(lambda: _has_started(server))
        self.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/hook"
        try:
            yield
        finally:
            server.should_exit = True
            await server_task


async def _has_started(server: uvicorn.Server) -> bool:
    return server.started
