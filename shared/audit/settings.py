"""The settings of the audit, which every service reads from its environment together with its own."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.audit.keys import AuditKeys, parse_audit_keys


def _require_keys(text: SecretStr) -> SecretStr:
    parse_audit_keys(text.get_secret_value())
    return text


class AuditSettings(BaseSettings):
    """The settings of the audit. Each name in capitals is an environment variable, or the name of a secret file."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    audit_key: Annotated[SecretStr, AfterValidator(_require_keys)]
    """The keys of this service's chains, as `id:base64 id:base64`, each of 32 bytes or more. The first one writes, the
    others verify what they wrote. No other service has them."""
    audit_spool_dir: Path
    """Where the lines of reads wait until they are in their chain: on a disk that outlives the container."""
    audit_spool_limit_mb: int = Field(default=256, ge=1, le=100_000)
    """When as many megabytes wait, reads are answered with 503. 256 are half an hour of 10,000 lines a minute."""

    @property
    def audit_keys(self) -> AuditKeys:
        """The keys that AUDIT_KEY names."""
        return parse_audit_keys(self.audit_key.get_secret_value())
