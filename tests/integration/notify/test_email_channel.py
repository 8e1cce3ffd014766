"""How a message is handed to a real mail server, and what is said when its answers are late or lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from services.notify.channels import AnswerLost, NotDelivered, Notice
from services.notify.channels.email import Email
from services.notify.domain.routing import Channels
from services.notify.settings import Settings
from tests.support.receivers import Mailbox

TO = Channels(email="someone@clinic.example")
GREETING = ["220 here", "250 hello", "250 sender", "250 recipient"]


def notice(url: str = "https://attune.example/inbox/1") -> Notice:
    return Notice(
        delivery_id=uuid4(), at=datetime.now(UTC), alert_id=uuid4(), change="raised", severity="concern", url=url
    )


def email(port: int, answer_seconds: float = 5.0, last_answer_seconds: float = 5.0) -> Email:
    settings = Settings(kafka_bootstrap_servers="unused:1", mongodb_uri="mongodb://unused", smtp_port=port)
    return Email(settings, answer_seconds, last_answer_seconds)


@asynccontextmanager
async def says(answers: Sequence[str]) -> AsyncIterator[int]:
    """The port of a mail server that gives these answers and then hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for index, response in enumerate(answers):
            if index:
                await reader.readline()
            writer.write(f"{response}\r\n".encode())
        line = await reader.readline()
        while answers[-1].startswith("354") and line != b".\r\n":
            line = await reader.readline()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_mail_server_may_look_at_a_message_for_longer_than_its_other_answers_take(
    mailbox: Mailbox, smtp_port: int
) -> None:
    mailbox.looks_for = 0.6

    await email(smtp_port, answer_seconds=0.3).send(notice(), TO)

    assert len(mailbox.taken) == 1


async def test_when_the_last_answer_does_not_come_the_message_may_have_arrived(
    mailbox: Mailbox, smtp_port: int
) -> None:
    mailbox.looks_for = 5

    with pytest.raises(AnswerLost):
        await email(smtp_port, last_answer_seconds=0.3).send(notice(), TO)

    assert len(mailbox.taken) == 1


async def test_when_a_mail_server_hangs_up_once_it_has_the_message_it_may_have_arrived() -> None:
    async with says([*GREETING, "354 go on"]) as port:
        with pytest.raises(AnswerLost):
            await email(port).send(notice(), TO)


@pytest.mark.parametrize("answers", [GREETING[:1], GREETING[:3], GREETING, [*GREETING, "451 later"]])
async def test_when_a_mail_server_does_not_want_the_message_it_has_not_arrived(answers: list[str]) -> None:
    async with says(answers) as port:
        with pytest.raises(NotDelivered):
            await email(port).send(notice(), TO)


async def test_a_full_stop_at_the_start_of_a_line_does_not_end_the_message(mailbox: Mailbox, smtp_port: int) -> None:
    await email(smtp_port).send(notice("https://attune.example/\n.\n..hidden\n.end"), TO)

    (message,) = mailbox.taken
    assert message.get_content().splitlines()[3:6] == [".", "..hidden", ".end"]
