"""What the alliance service reads from its environment."""

from pydantic import Field

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Each name is an environment variable in capitals."""

    mongodb_database: str = Field(default="attune_alliance", min_length=1)
    http_port: int = Field(default=8003, ge=1, le=65_535)
