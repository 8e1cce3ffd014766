"""Sends notifications by e-mail, through the clinic's own mail server."""

import re
from dataclasses import dataclass
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


@dataclass(frozen=True)
class ResponseTimeouts:
    """How many seconds each response of a mail server may take, as RFC 5321 (4.5.3.2) asks of clients."""

    command: float = 300.0
    """For the greeting and for each command: some servers delay these on purpose, against spam."""
    data_start: float = 120.0
    """For the response to DATA."""
    data_end: float = 600.0
    """For the response after the message: many servers scan it only then, and giving up leads to a duplicate."""
    quit: float = 10.0
    """For the response to QUIT, when the outcome is known already."""


RFC_5321 = ResponseTimeouts()
MISSING_MAILBOX_CODES = frozenset({"5.1.1", "5.1.3", "5.1.6", "5.1.10"})
"""The enhanced status codes (RFC 3463, RFC 7505) which say that this mailbox does not exist: unknown, not an address,
moved, or at a domain that accepts no mail. 5.1.7 and 5.1.8 are about the sender, and 5.1.0 is about anything."""
_ENHANCED_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?=\s|$)")


class EmailChannel:
    """Sends each message over its own connection."""

    def __init__(self, settings: Settings, timeouts: ResponseTimeouts = RFC_5321) -> None:
        self._settings = settings
        self._timeouts = timeouts

    async def send(self, notification: Notification, addresses: ChannelAddresses) -> None:
        """Hand it to the mail server. Raises DeliveryFailed, DeliveryUnknown and AddressRejected."""
        try:
            async with self._create_client() as client:
                await client.send_message(self._compose(notification, addresses.email or ""))
        except SMTPRecipientsRefused as error:
            (refused,) = error.recipients
            raise _recipient_error(refused.code, refused.message) from None
        except SMTPResponseException as error:  # a rejected sender or login is a setting to fix, so it is retried
            code = _enhanced_code(error.message)
            raise DeliveryFailed(f"{type(error).__name__} {error.code} {code}".rstrip()) from None
        except (SMTPException, OSError, ValueError) as error:
            raise DeliveryFailed(_describe(error)) from None

    def _create_client(self) -> "_SmtpClient":
        settings = self._settings
        client = _SmtpClient(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
            use_tls=settings.smtp_tls == "tls",
            start_tls=settings.smtp_tls == "starttls",
            local_hostname=settings.ehlo_name,
            timeout=self._timeouts.command,
        )
        client.timeouts = self._timeouts
        return client

    def _compose(self, notification: Notification, address: str) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._settings.smtp_from
        message["To"] = address
        subject = texts.email_subject(notification.change, notification.end_reason)
        message["Subject"] = subject
        message["Date"] = format_datetime(notification.sent_at)
        message["Message-ID"] = f"<{notification.delivery_id}@{self._settings.smtp_from.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # suppresses out-of-office replies
        message.set_content(texts.email_body(subject, notification.url))
        return message


def _recipient_error(code: int, message: str) -> DeliveryFailed | AddressRejected:
    """What a refusal of the recipient means.

    Many servers answer RCPT with whatever they have against the connection, the sender or their own state (`554 5.7.1
    Relay access denied`). That is repaired without touching the address, so the message must be sent again afterwards.
    """
    enhanced_code = _enhanced_code(message)
    text = f"SMTP {code} {enhanced_code}".rstrip()
    is_missing = code >= 500 and enhanced_code in MISSING_MAILBOX_CODES
    return AddressRejected(text) if is_missing else DeliveryFailed(text)


def _enhanced_code(message: str) -> str:
    match = _ENHANCED_CODE.match(message)
    return match.group() if match else ""


def _describe(error: Exception) -> str:
    """The kind of error. The library's own texts (STARTTLS is not supported, ...) hold no address; a server's may."""
    return f"{type(error).__name__}: {error}" if type(error) is SMTPException else type(error).__name__


class _SmtpClient(SMTP):
    """Waits longer for the last response, and raises DeliveryUnknown when that one is lost."""

    timeouts = RFC_5321

    async def quit(self, *, timeout: Any = None) -> SMTPResponse:  # noqa: ASYNC109 - its own
        """Say goodbye, and wait for it only shortly: until then the outcome is not recorded."""
        return await super().quit(timeout=self.timeouts.quit)

    async def data(self, message: str | bytes, /, *, timeout: Any = None) -> SMTPResponse:  # noqa: ASYNC109 - its own
        """Send the message. Raises DeliveryUnknown when the server had all of it and did not respond."""
        if self.protocol is None:
            raise SMTPServerDisconnected("connection lost")
        self.protocol.write(b"DATA\r\n")
        _require_status(SMTPStatus.start_input, await self.protocol.read_response(self.timeouts.data_start))
        content = message.encode("ascii") if isinstance(message, str) else message
        try:
            self.protocol.write(_LEADING_DOT.sub(b"..", content) + b".\r\n")
            response = await self.protocol.read_response(self.timeouts.data_end)
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
