"""The settings of sign-in, which every service reads from its environment together with its own."""

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.runtime.settings import LOOPBACK_HOSTS, DatabaseName


def require_secure_url(url: str) -> str:
    """Return `url` if nobody on the way can read or change what is sent to it; otherwise raise ValueError."""
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.password is not None:
        raise ValueError("is not a URL of a host, or contains a user")
    if parts.query or parts.fragment or any(character.isspace() for character in url):
        raise ValueError("must have no query, fragment or space")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS):
        raise ValueError("must begin with https://; http:// is possible on this machine only")
    _ = parts.port  # raises ValueError if it is none
    return url


def _require_origin(url: str) -> str:
    if urlsplit(require_secure_url(url)).path not in ("", "/"):
        raise ValueError("must have no path: the cookie of a login is valid for the whole host")
    return url.rstrip("/")


def _require_certificates(file: Path | None) -> Path | None:
    try:
        if file is not None:
            ssl.create_default_context(cafile=file)
    except OSError as error:  # also what ssl raises
        raise ValueError(f"cannot be used: {type(error).__name__}") from None
    return file


SecureUrl = Annotated[str, AfterValidator(require_secure_url)]
Origin = Annotated[str, AfterValidator(_require_origin)]
CertificateFile = Annotated[Path | None, AfterValidator(_require_certificates)]


class IdentitySettings(BaseSettings):
    """The settings of sign-in. Each name in capitals is an environment variable."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    oidc_issuer: SecureUrl
    """The issuer's identifier, letter for letter as it stands in its tokens (`iss`), with or without a slash at the
    end. Its address and keys are read from `<issuer>/.well-known/openid-configuration`."""
    oidc_client_id: str = Field(min_length=1)
    """Attune's own id at the issuer."""
    oidc_client_secret: SecretStr = Field(min_length=1)
    oidc_audience: str = Field(default="attune", min_length=1)
    """The audience (`aud`) that a machine's token must have."""
    oidc_ca_file: CertificateFile = None
    """Certificates (PEM) of the authority that the issuer's certificate comes from, if it is not a public one."""
    public_url: Origin = "http://localhost:8000"
    """The front door as browsers reach it. The issuer must allow `<PUBLIC_URL>/sign-in/callback` as redirect."""
    identity_database: DatabaseName = "attune_identity"
    """The database of login sessions, people and machines, which all services share."""
    login_idle_minutes: int = Field(default=30, ge=1, le=1440)
    """A login session ends when its person has done nothing for this long."""
    login_max_hours: int = Field(default=12, ge=1, le=24)
    """A login session ends this long after the sign-in, whatever its person does."""

    @model_validator(mode="after")
    def _require_own_audience(self) -> Self:
        if self.oidc_audience == self.oidc_client_id:
            raise ValueError("OIDC_AUDIENCE and OIDC_CLIENT_ID must differ: a person's token is no machine's token")
        return self

    @property
    def sign_in_callback(self) -> str:
        """Where the issuer sends the browser back to."""
        return f"{self.public_url}/sign-in/callback"

    @property
    def login_idle_limit(self) -> timedelta:
        """How long a login session lasts without activity."""
        return timedelta(minutes=self.login_idle_minutes)

    @property
    def login_max_duration(self) -> timedelta:
        """How long a login session lasts at most."""
        return timedelta(hours=self.login_max_hours)
