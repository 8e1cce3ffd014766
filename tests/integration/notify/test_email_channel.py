"""Sending a message to a real mail server, and the outcome when its responses are late or lost."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from services.notify.channels import AddressRejected, DeliveryFailed, DeliveryUnknown, Notification
from services.notify.channels.email import RFC_5321, EmailChannel, ResponseTimeouts
from services.notify.domain.routing import ChannelAddresses
from services.notify.settings import Settings
from tests.support.certificates import create_certificate, needs_openssl
from tests.support.receivers import Mailbox

ADDRESSES = ChannelAddresses(email="someone@clinic.example")
ACCEPTED = "250 accepted"
GREETING = ["220 here", "250 hello", "250 sender", "250 recipient"]


def create_notification(url: str = "https://attune.example/inbox/1") -> Notification:
    return Notification(
        delivery_id=uuid4(), sent_at=datetime.now(UTC), alert_id=uuid4(), change="raised", severity="concern", url=url
    )


def create_channel(
    port: int, timeouts: ResponseTimeouts = RFC_5321, smtp_tls: str = "none", **settings: Any
) -> EmailChannel:
    values = {"kafka_bootstrap_servers": "unused:1", "mongodb_uri": "mongodb://unused", "smtp_tls": smtp_tls}
    return EmailChannel(Settings.model_validate({**values, "smtp_port": port, **settings}), timeouts)


@asynccontextmanager
async def scripted_mail_server(responses: Sequence[str]) -> AsyncIterator[int]:
    """The port of a mail server that sends these responses and then disconnects, or says no more after its last one."""

    closed = asyncio.Event()

    async def handle_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for index, response in enumerate(responses):
            if index:
                await reader.readline()
            writer.write(f"{response}\r\n".encode())
        line = await reader.readline()
        if responses[-1] == ACCEPTED:
            await reader.read()  # until the client disconnects
        while responses[-1].startswith("354") and line != b".\r\n":
            line = await reader.readline()
        writer.close()
        closed.set()

    async with await asyncio.start_server(handle_client, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await closed.wait()


async def test_a_mail_server_may_take_longer_for_the_message_than_for_its_other_responses(
    mailbox: Mailbox, smtp_port: int
) -> None:
    mailbox.data_delay_seconds = 0.6

    await create_channel(smtp_port, replace(RFC_5321, command=0.3)).send(create_notification(), ADDRESSES)

    assert len(mailbox.received) == 1


async def test_when_the_last_response_does_not_come_the_message_may_have_arrived(
    mailbox: Mailbox, smtp_port: int
) -> None:
    mailbox.data_delay_seconds = 5

    with pytest.raises(DeliveryUnknown):
        await create_channel(smtp_port, replace(RFC_5321, data_end=0.3)).send(create_notification(), ADDRESSES)

    assert len(mailbox.received) == 1


async def test_when_a_mail_server_disconnects_after_the_message_it_may_have_arrived() -> None:
    async with scripted_mail_server([*GREETING, "354 go on"]) as port:
        with pytest.raises(DeliveryUnknown):
            await create_channel(port).send(create_notification(), ADDRESSES)


@pytest.mark.parametrize("responses", [GREETING[:1], GREETING[:3], GREETING, [*GREETING, "451 later"]])
async def test_when_a_mail_server_rejects_the_message_it_has_not_arrived(responses: list[str]) -> None:
    async with scripted_mail_server(responses) as port:
        with pytest.raises(DeliveryFailed):
            await create_channel(port).send(create_notification(), ADDRESSES)


async def test_a_full_stop_at_the_start_of_a_line_does_not_end_the_message(mailbox: Mailbox, smtp_port: int) -> None:
    await create_channel(smtp_port).send(create_notification("https://attune.example/\n.\n..hidden\n.end"), ADDRESSES)

    (message,) = mailbox.received
    assert message.get_content().splitlines()[3:6] == [".", "..hidden", ".end"]


@pytest.mark.parametrize(
    "response",
    [
        "554 5.7.1 Relay access denied",
        "550 5.7.1 Blocked, see https://blocklist.example",
        "530 5.7.0 Authentication required",
        "553 5.1.8 Sender address does not exist",
        "550 5.1.0 Address rejected",
        "552 5.2.2 Mailbox full",
        "550 5.4.1 Recipient address rejected: access denied",
        "550 no such user here",
        "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname",
        "450 4.1.1 unverified recipient",
    ],
)
async def test_a_refusal_that_need_not_be_about_the_mailbox_is_retried(
    mailbox: Mailbox, smtp_port: int, response: str
) -> None:
    mailbox.rejections = {"someone@clinic.example": response}

    with pytest.raises(DeliveryFailed, match=response[:3]):
        await create_channel(smtp_port).send(create_notification(), ADDRESSES)


@pytest.mark.parametrize("response", ["550 5.1.1 User unknown", "551 5.1.6 Moved", "556 5.1.10 No mail here"])
async def test_a_mailbox_that_does_not_exist_is_final(mailbox: Mailbox, smtp_port: int, response: str) -> None:
    mailbox.rejections = {"someone@clinic.example": response}

    with pytest.raises(AddressRejected):
        await create_channel(smtp_port).send(create_notification(), ADDRESSES)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"public_url": "https://attune.clinic.example:8443/x"}, "attune.clinic.example"),
        ({"public_url": "http://127.0.0.1:8004"}, "[127.0.0.1]"),
        ({"public_url": "http://[::1]:8004"}, "[IPv6:::1]"),
        ({"smtp_ehlo_name": "mail.clinic.example"}, "mail.clinic.example"),
        ({"smtp_ehlo_name": "[192.0.2.1]"}, "[192.0.2.1]"),
    ],
)
async def test_a_mail_server_is_greeted_by_a_name_that_the_operator_knows(
    mailbox: Mailbox, smtp_port: int, settings: dict[str, Any], name: str
) -> None:
    """And never by that of the machine, which in a container is a random number."""
    await create_channel(smtp_port, **settings).send(create_notification(), ADDRESSES)

    assert mailbox.ehlo_names == [name]


def test_a_mail_server_may_be_as_slow_as_its_standard_allows() -> None:
    """RFC 5321, 4.5.3.2: five minutes for a command, two for DATA, ten for the end of the message."""
    assert (RFC_5321.command, RFC_5321.data_start, RFC_5321.data_end) == (300, 120, 600)


async def test_a_mail_server_that_does_not_say_goodbye_has_the_message() -> None:
    async with scripted_mail_server([*GREETING, "354 go on", ACCEPTED]) as port, asyncio.timeout(10):
        await create_channel(port, replace(RFC_5321, quit=0.1)).send(create_notification(), ADDRESSES)


async def test_a_message_is_not_sent_unencrypted_unless_the_operator_says_so(mailbox: Mailbox, smtp_port: int) -> None:
    settings = Settings(kafka_bootstrap_servers="unused:1", mongodb_uri="mongodb://unused", smtp_port=smtp_port)

    with pytest.raises(DeliveryFailed, match="STARTTLS extension not supported"):
        await EmailChannel(settings).send(create_notification(), ADDRESSES)

    assert mailbox.attempts == []


@needs_openssl
async def test_a_message_is_encrypted_by_starttls(
    smtp_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = create_certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context, mailbox = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Mailbox()
    context.load_cert_chain(certificate, key)

    with mailbox.run(smtp_port, context):
        channel = create_channel(smtp_port, smtp_tls="starttls", smtp_host="localhost")
        await channel.send(create_notification(), ADDRESSES)

    assert (mailbox.encrypted, len(mailbox.received)) == ([True], 1)
