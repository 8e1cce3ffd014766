"""The settings that the intake service reads from its environment."""

from pydantic import Field

from shared.identity.settings import Origin
from shared.runtime.settings import DatabaseName, ServiceSettings


class Settings(ServiceSettings):
    """The environment variable of each setting is its name in capitals."""

    http_port: int = Field(default=8001, ge=1, le=65_535)
    ops_port: int = Field(default=9001, ge=1, le=65_535)
    mongodb_database: DatabaseName = "attune_intake"
    public_url: Origin = "http://localhost:8000"
    """The front door as browsers reach it; invitations are links to it."""
    http_body_limit: int = Field(default=4_000_000, ge=1_000)
    """Bytes. A caseload of 5,000 rows has about a million."""
