"""The settings that every service reads from its environment; they are checked before anything is opened."""

import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import quote_plus, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict
from pymongo import MongoClient
from pymongo.errors import PyMongoError

_ADDRESS = r"([^\s:,\[\]]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}"
BootstrapServers = Annotated[str, Field(pattern=rf"^{_ADDRESS}(,{_ADDRESS})*$")]
"""The addresses of Kafka: host:port, separated by commas; an IPv6 address in brackets."""

SECRETS_DIR = Path("/run/secrets")
"""Where container engines put secrets: one file per setting, which `docker inspect` does not show."""

UNPROTECTED = "anyone-who-reaches-this-port-can-read-and-write-everything"


def _require_valid_uri(uri: str) -> str:
    try:
        if not uri.startswith("mongodb+srv://"):  # parsing it asks a name server, which may be unavailable
            MongoClient(uri, connect=False).close()  # also reads the certificates that the URI names
    except (ValueError, OSError, PyMongoError) as error:
        raise ValueError(f"cannot be used: {error}") from None
    return uri


def _require_valid_database(name: str) -> str:
    """Rejects what MongoDB rejects, but only when something is written."""
    if len(name.encode()) > MAX_DATABASE_BYTES or not re.fullmatch(r'[^/\\. "$\x00]+', name):
        raise ValueError(f'is not a database name: 1 to {MAX_DATABASE_BYTES} bytes, without / \\ . " $ and space')
    return name


MAX_DATABASE_BYTES = 63
DatabaseName = Annotated[str, AfterValidator(_require_valid_database)]


LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class HttpLimits:
    """What an application accepts."""

    max_body_bytes: int
    allowed_hosts: Collection[str] | None = None
    """The names, without a port, that the Host header may have; None for all."""
    has_docs: bool = False
    """Whether `/docs` and `/openapi.json` are served on the ops port."""


@dataclass(frozen=True)
class KafkaOptions:
    """How a service uses Kafka."""

    servers: str
    batch_size: int = 4000
    """The maximum number of messages in a batch."""
    dead_letter_retention: timedelta = timedelta(days=30)
    """How long the message of a dead letter stays stored with it once it is resolved."""


class ServiceSettings(BaseSettings):
    """The settings that all four services have. Each name in capitals is an environment variable."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    kafka_bootstrap_servers: BootstrapServers
    kafka_batch_size: int = Field(default=4000, ge=1, le=10_000)
    """The maximum number of messages in a batch."""
    dead_letter_retention_days: int = Field(default=30, ge=1, le=36_500)
    """The message of a dead letter is removed from it this long after it was resolved; that of an open one never is."""
    mongodb_uri: Annotated[str, AfterValidator(_require_valid_uri)] = Field(repr=False)
    """With the username and the password below, if they are given."""
    mongodb_username: str = ""
    mongodb_password: SecretStr = SecretStr("")
    mongodb_database: DatabaseName
    mongodb_driver: Literal["motor", "pymongo"] = "motor"
    http_host: str = "127.0.0.1"
    http_port: int = Field(ge=1, le=65_535)
    ops_host: str = "127.0.0.1"
    """Where health, metrics and the docs are served. They contain nothing about a person, and need no confirmation."""
    ops_port: int = Field(ge=1, le=65_535)
    http_body_limit: int = Field(default=1_000_000, ge=1_000)
    """Bytes."""
    allowed_hosts: str = ""
    """Names or URLs under which the service is reached, separated by commas. HTTP_HOST, OPS_HOST and the loopback names
    need not be listed."""
    api_docs: bool = False
    """Whether the ops port serves `/docs` and `/openapi.json`; in production they would only help an attacker."""
    unprotected: str = ""
    """Services have no authentication yet. To listen beyond this machine, set the exact text of UNPROTECTED."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="before")
    @classmethod
    def _add_credentials(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = {key: value for key, value in values.items() if value != "" or not key.endswith("_password")}
        name, password = (str(values.get(f"mongodb_{part}") or "") for part in ("username", "password"))
        if bool(name) != bool(password):
            raise ValueError("MONGODB_USERNAME and MONGODB_PASSWORD must be set together or not at all")
        scheme, separator, rest = str(values.get("mongodb_uri", "")).partition("://")
        if not name or not separator:
            return values
        if "@" in rest:
            raise ValueError("MONGODB_URI already contains a user; remove MONGODB_USERNAME and MONGODB_PASSWORD")
        return {**values, "mongodb_uri": f"{scheme}://{quote_plus(name)}:{quote_plus(password)}@{rest}"}

    @model_validator(mode="after")
    def _require_loopback(self) -> Self:
        if not _is_loopback(self.http_host) and self.unprotected != UNPROTECTED:
            raise ValueError(
                f"HTTP_HOST is {self.http_host}, which is reachable from other machines, and there is no "
                f"authentication yet; keep it on 127.0.0.1 or set UNPROTECTED={UNPROTECTED}"
            )
        return self

    @model_validator(mode="after")
    def _require_two_ports(self) -> Self:
        if self.ops_port == self.http_port:
            raise ValueError(f"OPS_PORT and HTTP_PORT are both {self.http_port}; choose another OPS_PORT")
        return self

    @property
    def kafka(self) -> KafkaOptions:
        """How the service uses Kafka."""
        retention = timedelta(days=self.dead_letter_retention_days)
        return KafkaOptions(self.kafka_bootstrap_servers, self.kafka_batch_size, retention)

    @property
    def http_limits(self) -> HttpLimits:
        """The limits of the HTTP interface."""
        names = [name.strip() for name in self.allowed_hosts.split(",") if name.strip()]
        own_hosts = {self.http_host.lower(), self.ops_host.lower()}
        hosts = {urlsplit(name if "//" in name else f"//{name}").hostname or name for name in names}
        return HttpLimits(self.http_body_limit, LOOPBACK_HOSTS | hosts | own_hosts, self.api_docs)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _describe(error: ErrorDetails) -> str:
    message = "must be set" if error["type"] == "missing" else error["msg"]
    return ": ".join([*(str(part).upper() for part in error["loc"]), message])


Settings = TypeVar("Settings", bound=BaseSettings)


def load_settings(settings_class: type[Settings]) -> Settings:
    """The settings from the environment, and from secret files if there are any.

    If they are wrong: one line that says what is wrong, and exit code 2.
    """
    try:
        return settings_class(_secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
        print(f"settings: {'; '.join(map(_describe, errors))}", file=sys.stderr)  # noqa: T201 - logging is not set up yet
        raise SystemExit(2) from None
