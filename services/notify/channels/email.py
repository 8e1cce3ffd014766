"""By e-mail, through the clinic's own mail server."""

from collections.abc import Callable
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib
from aiosmtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException

from services.notify.channels import AddressRefused, NotDelivered, Notice
from services.notify.domain import wording
from services.notify.domain.routing import Channels
from services.notify.settings import Settings

ANSWER_SECONDS = 10.0
"""How long a mail server may take for each of its answers."""


class Email:
    """Sends one message, in a connection of its own."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock

    async def send(self, notice: Notice, to: Channels) -> None:
        """Hand it to the mail server. Raises NotDelivered and AddressRefused."""
        s = self._settings
        try:
            await aiosmtplib.send(
                self._written(notice, to.email or ""),
                hostname=s.smtp_host,
                port=s.smtp_port,
                username=s.smtp_username,
                password=s.smtp_password.get_secret_value() if s.smtp_password else None,
                use_tls=s.smtp_tls == "tls",
                start_tls=s.smtp_tls == "starttls",
                timeout=ANSWER_SECONDS,
            )
        except SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            if all(code >= 500 for code in codes):
                raise AddressRefused(f"SMTP {codes}") from None
            raise NotDelivered(f"SMTP {codes}") from None
        except SMTPResponseException as error:  # a refused sender or log-in is ours to repair: tried again until then
            raise NotDelivered(f"{type(error).__name__} {error.code}") from None
        except (SMTPException, OSError, ValueError) as error:
            raise NotDelivered(type(error).__name__) from None

    def _written(self, notice: Notice, address: str) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._settings.smtp_from
        message["To"] = address
        message["Subject"] = wording.SUBJECT[notice.change]
        message["Date"] = format_datetime(self._clock())
        message["Message-ID"] = f"<{notice.delivery_id}@{self._settings.smtp_from.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # so that no absence note answers it
        message.set_content(wording.message(notice.change, notice.url))
        return message
