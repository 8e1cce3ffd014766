"""The settings of the notify service, read from the environment."""

from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.notify.domain.destinations import AllowedDestinations
from shared.runtime.settings import DatabaseName, ServiceSettings

EMAIL_ADDRESS_PATTERN = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+$"
"""A single plain e-mail address: no list, no display name, no characters that could inject a header."""


def _require_destinations(text: str) -> str:
    AllowedDestinations.parse(text)
    return text


class Settings(ServiceSettings):
    """Each field is read from the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(env_ignore_empty=True)  # `SMTP_USERNAME=` in an env file means unset

    mongodb_database: DatabaseName = "attune_notify"
    http_port: int = Field(default=8004, ge=1, le=65_535)
    ops_port: int = Field(default=9004, ge=1, le=65_535)
    public_url: str = Field(default="http://127.0.0.1:8004", pattern=r"^https?://[^\s/]+[^\s]*$")
    """The base URL of the inbox; every link starts with it."""
    notify_within_days: int = Field(default=7, ge=0, le=365)
    """An alert whose last sign is older is shown in the inbox, but no message is sent. Nor is one sent about what a
    rebuild or a change of the rules finds in the history, however recent it is."""
    smtp_host: str = Field(default="127.0.0.1", min_length=1)
    smtp_port: int = Field(default=25, ge=1, le=65_535)
    smtp_from: str = Field(default="attune@localhost", pattern=EMAIL_ADDRESS_PATTERN)
    smtp_tls: Literal["none", "starttls", "tls"] = "starttls"
    """Messages are sent unencrypted only if the operator says so."""
    smtp_ehlo_name: str | None = Field(default=None, max_length=255, pattern=r"^[A-Za-z0-9.:\[\]-]+$")
    """The name by which the mail server is greeted; by default the host in `public_url`."""
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    webhook_allow: Annotated[str, AfterValidator(_require_destinations)] = ""
    """Which addresses, networks and hosts webhooks may reach besides public addresses, and by http; see
    `AllowedDestinations`."""
    delivery_retry_seconds: float = Field(default=30, gt=0, le=3600)
    """Wait after the first failed attempt; it doubles with each further one, up to an hour."""
    delivery_give_up_days: float = Field(default=3, gt=0, le=30)
    """A message that could not be delivered for this long is marked as failed, counted and logged."""
    delivery_parallel: int = Field(default=8, ge=1, le=100)
    """Maximum number of concurrent delivery attempts."""
    alert_retention_days: int = Field(default=730, ge=30, le=36_500)
    """A closed alert is removed when nothing has happened about it for this long; one that is open never is."""
    delivery_retention_days: int = Field(default=90, ge=1, le=36_500)
    """A delivery is removed this long after it was completed, if its message cannot be owed anew."""
    inbox_streams: int = Field(default=1000, ge=1, le=100_000)
    """Maximum number of open inbox streams of one process; each takes about 80 kB of memory."""
    inbox_streams_per_inbox: int = Field(default=20, ge=1, le=100_000)
    """Maximum number of open streams of one inbox in one process: one for each tab and device."""

    @property
    def ehlo_name(self) -> str:
        """The name in EHLO. Many servers reject one that is no domain and no address in brackets (RFC 5321, 4.1.3)."""
        host = self.smtp_ehlo_name or urlsplit(self.public_url).hostname or "localhost"
        try:
            address = ip_address(host)
        except ValueError:
            return host
        return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"

    @model_validator(mode="after")
    def _require_complete_login(self) -> Self:
        if (self.smtp_username is None) != (self.smtp_password is None):
            raise ValueError("SMTP_USERNAME and SMTP_PASSWORD must both be set, or neither")
        if self.smtp_username is not None and self.smtp_tls == "none":
            raise ValueError("SMTP_PASSWORD would be sent unencrypted; set SMTP_TLS to starttls or tls")
        return self
