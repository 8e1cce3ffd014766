"""Sending a message to a webhook: where a request may lead, whatever its name resolves to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from services.notify.channels import DeliveryFailed, Notification
from services.notify.channels.destinations import Destinations
from services.notify.channels.webhook import WebhookChannel, create_webhook_client
from services.notify.domain.destinations import AllowedDestinations, IPAddress, parse_address
from services.notify.domain.routing import ChannelAddresses, WebhookAddress
from tests.integration.notify.steps import SECRET
from tests.support.certificates import create_certificate, needs_openssl
from tests.support.receivers import WebhookReceiver

LOOPBACK = AllowedDestinations.parse("127.0.0.1")
NOTHING = AllowedDestinations()
create_destinations = partial(Destinations, public_url="https://attune.example")


class NameServer:
    """Resolves every name to these addresses; one after the other if there are several answers."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str) -> Sequence[IPAddress]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [parse_address(address) for address in answer]


async def send(url: str, destinations: Destinations) -> None:
    notification = Notification(
        delivery_id=uuid4(),
        sent_at=datetime.now(UTC),
        alert_id=uuid4(),
        change="raised",
        severity="concern",
        url="https://attune.example/inbox/1",
    )
    async with create_webhook_client(destinations) as client:
        await WebhookChannel(client).send(
            notification, ChannelAddresses(webhook=WebhookAddress(url=url, secret=SECRET))
        )


def port_of(hook: WebhookReceiver) -> str:
    return hook.url.rsplit(":", 1)[1]


async def test_a_request_connects_to_the_address_that_was_checked(hook: WebhookReceiver) -> None:
    names = NameServer(["127.0.0.1"], ["192.0.2.1"])  # a second question would get another answer

    await send(f"http://receiver.example:{port_of(hook)}", create_destinations(LOOPBACK, names.resolve))

    ((headers, _),) = hook.received
    assert headers["host"] == f"receiver.example:{port_of(hook).partition('/')[0]}"
    assert names.asked == ["receiver.example"]


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:127.0.0.1"]])
async def test_a_name_that_leads_inside_gets_no_request(hook: WebhookReceiver, addresses: list[str]) -> None:
    """Also if it led elsewhere when it was saved."""
    names = NameServer(addresses)

    with pytest.raises(DeliveryFailed, match="WEBHOOK_ALLOW") as failed:
        await send(f"https://receiver.example:{port_of(hook)}", create_destinations(NOTHING, names.resolve))

    assert hook.received == []
    assert "receiver.example" not in str(failed.value)
    assert addresses[0] not in str(failed.value)


async def test_attune_itself_gets_no_request_although_the_operator_lists_its_address(hook: WebhookReceiver) -> None:
    names = NameServer(["127.0.0.1"])
    port = port_of(hook).partition("/")[0]
    destinations = Destinations(LOOPBACK, names.resolve, public_url=f"https://Attune.example:{port}/")

    with pytest.raises(DeliveryFailed, match="must not lead to Attune itself"):
        await send(f"http://attune.EXAMPLE.:{port}/hook", destinations)
    assert hook.received == []

    await send(f"http://receiver.example:{port}/hook", destinations)
    assert len(hook.received) == 1


@pytest.mark.parametrize("url", ["http://user:password@127.0.0.1", "http://127.0.0.1/#part"])
async def test_a_url_with_a_password_or_a_fragment_gets_no_request(hook: WebhookReceiver, url: str) -> None:
    with pytest.raises(DeliveryFailed, match="must not contain"):
        await send(
            url.replace("127.0.0.1", f"127.0.0.1:{port_of(hook).partition('/')[0]}"), create_destinations(LOOPBACK)
        )

    assert hook.received == []


async def test_a_proxy_of_the_environment_is_not_used(hook: WebhookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, hook.url.removesuffix("/hook"))
    names = NameServer(["192.0.2.1"])

    with pytest.raises(DeliveryFailed, match="WEBHOOK_ALLOW"):
        await send("http://receiver.example/hook", create_destinations(LOOPBACK, names.resolve))

    assert hook.received == []


async def test_the_next_address_is_tried_when_one_does_not_answer(hook: WebhookReceiver) -> None:
    allowed = AllowedDestinations.parse("127.0.0.0/8")
    names = NameServer(["127.0.0.9", "127.0.0.1"])  # the receiver listens on the second only

    await send(f"http://receiver.example:{port_of(hook)}", create_destinations(allowed, names.resolve))

    assert len(hook.received) == 1


async def test_a_name_that_does_not_resolve_is_a_failure_of_this_attempt() -> None:
    async def resolve(_host: str) -> Sequence[IPAddress]:
        raise OSError("no such name")

    with pytest.raises(DeliveryFailed, match="ConnectError"):
        await send("https://receiver.example/hook", create_destinations(NOTHING, resolve))


@needs_openssl
async def test_the_certificate_must_be_that_of_the_host_although_the_connection_is_to_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = create_certificate(tmp_path, "receiver.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    destinations = create_destinations(LOOPBACK, NameServer(["127.0.0.1"]).resolve)

    async with tls_server(certificate, key) as port:
        await send(f"https://receiver.example:{port}/hook", destinations)
        with pytest.raises(DeliveryFailed, match="ConnectError"):
            await send(f"https://another.example:{port}/hook", destinations)


@asynccontextmanager
async def tls_server(certificate: Path, key: Path) -> AsyncIterator[int]:
    """The port of a web server that accepts every request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def handle_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle_client, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
