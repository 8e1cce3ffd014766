"""By e-mail, through the clinic's own mail server."""

import re
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPResponse,
    SMTPResponseException,
    SMTPServerDisconnected,
    SMTPStatus,
)

from services.notify.channels import AddressRefused, AnswerLost, NotDelivered, Notice
from services.notify.domain import wording
from services.notify.domain.routing import Channels
from services.notify.settings import Settings

ANSWER_SECONDS = 10.0
"""How long a mail server may take for each of its answers but the last."""
LAST_ANSWER_SECONDS = 90.0
"""How long it may take to look at the message once it has it; many look for spam and viruses only then.

RFC 5321 (4.5.3.2.6) has clients wait ten minutes, for whoever gives up sooner sends a second copy.
"""


class Email:
    """Sends one message, in a connection of its own."""

    def __init__(
        self,
        settings: Settings,
        answer_seconds: float = ANSWER_SECONDS,
        last_answer_seconds: float = LAST_ANSWER_SECONDS,
    ) -> None:
        self._settings = settings
        self._answer_seconds = answer_seconds
        self._last_answer_seconds = last_answer_seconds

    async def send(self, notification: Notice, to: Channels) -> None:
        """Hand it to the mail server. Raises NotDelivered, AnswerLost and AddressRefused."""
        try:
            async with self._server() as client:
                await client.send_message(self._written(notification, to.email or ""))
        except SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            if all(code >= 500 for code in codes):
                raise AddressRefused(f"SMTP {codes}") from None
            raise NotDelivered(f"SMTP {codes}") from None
        except SMTPResponseException as error:  # a refused sender or log-in is ours to repair: tried again until then
            raise NotDelivered(f"{type(error).__name__} {error.code}") from None
        except (SMTPException, OSError, ValueError) as error:
            raise NotDelivered(type(error).__name__) from None

    def _server(self) -> "_MailServer":
        settings = self._settings
        client = _MailServer(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
            use_tls=settings.smtp_tls == "tls",
            start_tls=settings.smtp_tls == "starttls",
            timeout=self._answer_seconds,
        )
        client.last_answer_seconds = self._last_answer_seconds
        return client

    def _written(self, notification: Notice, address: str) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._settings.smtp_from
        message["To"] = address
        message["Subject"] = wording.SUBJECT[notification.change]
        message["Date"] = format_datetime(notification.at)
        message["Message-ID"] = f"<{notification.delivery_id}@{self._settings.smtp_from.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # so that no absence note answers it
        message.set_content(wording.message(notification.change, notification.url))
        return message


class _MailServer(SMTP):
    """Waits longer for the last answer than for the others, and tells that one from the others when it is lost."""

    last_answer_seconds = LAST_ANSWER_SECONDS

    async def data(self, message: str | bytes, /, *, timeout: Any = None) -> SMTPResponse:  # noqa: ASYNC109 - its own
        """Hand over the message. Raises AnswerLost when the server had all of it and did not answer."""
        if self.protocol is None:
            raise SMTPServerDisconnected("connection lost")
        self.protocol.write(b"DATA\r\n")
        _expect(SMTPStatus.start_input, await self.protocol.read_response(self.timeout))
        content = message.encode("ascii") if isinstance(message, str) else message
        try:
            self.protocol.write(_AT_THE_START_OF_A_LINE.sub(b"..", content) + b".\r\n")
            response = await self.protocol.read_response(self.last_answer_seconds)
        except (ConnectionError, TimeoutError) as error:
            self.close()
            raise AnswerLost(type(error).__name__) from None
        _expect(SMTPStatus.completed, response)
        return response


_AT_THE_START_OF_A_LINE = re.compile(rb"^\.", re.MULTILINE)
"""A full stop, which alone on a line would end the message (RFC 5321, 4.5.2)."""


def _expect(status: SMTPStatus, answer: SMTPResponse) -> None:
    if answer.code != status:
        raise SMTPDataError(answer.code, answer.message)
