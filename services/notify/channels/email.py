"""Sends notifications by e-mail, through the clinic's own mail server."""

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

from services.notify.channels import AddressRejected, DeliveryFailed, DeliveryUnknown, Notification
from services.notify.domain import texts
from services.notify.domain.routing import ChannelAddresses
from services.notify.settings import Settings

RESPONSE_TIMEOUT_SECONDS = 10.0
"""Limit for each response of a mail server except the last."""
DATA_RESPONSE_TIMEOUT_SECONDS = 90.0
"""Limit for the last response, after the message; many servers scan for spam and viruses only then.

RFC 5321 (4.5.3.2.6) asks clients to wait ten minutes, because giving up sooner leads to a duplicate.
"""


class EmailChannel:
    """Sends each message over its own connection."""

    def __init__(
        self,
        settings: Settings,
        response_timeout_seconds: float = RESPONSE_TIMEOUT_SECONDS,
        data_response_timeout_seconds: float = DATA_RESPONSE_TIMEOUT_SECONDS,
    ) -> None:
        self._settings = settings
        self._response_timeout_seconds = response_timeout_seconds
        self._data_response_timeout_seconds = data_response_timeout_seconds

    async def send(self, notification: Notification, addresses: ChannelAddresses) -> None:
        """Hand it to the mail server. Raises DeliveryFailed, DeliveryUnknown and AddressRejected."""
        try:
            async with self._create_client() as client:
                await client.send_message(self._compose(notification, addresses.email or ""))
        except SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            if all(code >= 500 for code in codes):
                raise AddressRejected(f"SMTP {codes}") from None
            raise DeliveryFailed(f"SMTP {codes}") from None
        except SMTPResponseException as error:  # a rejected sender or login is a setting to fix, so it is retried
            raise DeliveryFailed(f"{type(error).__name__} {error.code}") from None
        except (SMTPException, OSError, ValueError) as error:
            raise DeliveryFailed(type(error).__name__) from None

    def _create_client(self) -> "_SmtpClient":
        settings = self._settings
        client = _SmtpClient(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
            use_tls=settings.smtp_tls == "tls",
            start_tls=settings.smtp_tls == "starttls",
            timeout=self._response_timeout_seconds,
        )
        client.data_response_timeout_seconds = self._data_response_timeout_seconds
        return client

    def _compose(self, notification: Notification, address: str) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._settings.smtp_from
        message["To"] = address
        message["Subject"] = texts.SUBJECT[notification.change]
        message["Date"] = format_datetime(notification.sent_at)
        message["Message-ID"] = f"<{notification.delivery_id}@{self._settings.smtp_from.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # suppresses out-of-office replies
        message.set_content(texts.email_body(notification.change, notification.url))
        return message


class _SmtpClient(SMTP):
    """Waits longer for the last response, and raises DeliveryUnknown when that one is lost."""

    data_response_timeout_seconds = DATA_RESPONSE_TIMEOUT_SECONDS

    async def data(self, message: str | bytes, /, *, timeout: Any = None) -> SMTPResponse:  # noqa: ASYNC109 - its own
        """Send the message. Raises DeliveryUnknown when the server had all of it and did not respond."""
        if self.protocol is None:
            raise SMTPServerDisconnected("connection lost")
        self.protocol.write(b"DATA\r\n")
        _require_status(SMTPStatus.start_input, await self.protocol.read_response(self.timeout))
        content = message.encode("ascii") if isinstance(message, str) else message
        try:
            self.protocol.write(_LEADING_DOT.sub(b"..", content) + b".\r\n")
            response = await self.protocol.read_response(self.data_response_timeout_seconds)
        except (ConnectionError, TimeoutError) as error:
            self.close()
            raise DeliveryUnknown(type(error).__name__) from None
        _require_status(SMTPStatus.completed, response)
        return response


_LEADING_DOT = re.compile(rb"^\.", re.MULTILINE)
"""A full stop, which alone on a line would end the message (RFC 5321, 4.5.2)."""


def _require_status(status: SMTPStatus, response: SMTPResponse) -> None:
    if response.code != status:
        raise SMTPDataError(response.code, response.message)
