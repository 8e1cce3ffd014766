"""What the alliance service reads from its environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.runtime.settings import DatabaseName, ServiceSettings


class Settings(ServiceSettings):
    """Each name is an environment variable in capitals."""

    model_config = SettingsConfigDict(env_ignore_empty=True)  # an empty `POLICY_DIR=` in an environment file means none

    mongodb_database: DatabaseName = "attune_alliance"
    http_port: int = Field(default=8003, ge=1, le=65_535)
    ops_port: int = Field(default=9003, ge=1, le=65_535)
    policy_dir: Path | None = None
    """A folder of policies: `<clinic_id>.toml` for one clinic, `default.toml` for all others."""
