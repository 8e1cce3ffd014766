"""The progress of the demo, so that the next start continues from there."""

from datetime import datetime
from pathlib import Path
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class DemoState(BaseModel):
    """The parameters of the world, and how much of it was submitted."""

    model_config = ConfigDict(validate_assignment=True, serialize_by_alias=True)

    seed: int
    until: datetime
    """The time of the first start: everything before it is history."""
    submitted: set[UUID] = Field(default_factory=set, alias="told")
    """The relationships whose history was submitted."""
    sessions_since: int = 0
    """How many sessions were submitted after the history."""

    @classmethod
    def load_or_create(cls, file: Path, seed: int, now: datetime) -> Self:
        """The saved state, or a new one if the file does not exist."""
        return cls.model_validate_json(file.read_bytes()) if file.exists() else cls(seed=seed, until=now)

    def save(self, file: Path) -> None:
        """Save it atomically."""
        temporary_file = file.with_suffix(".new")
        temporary_file.write_text(self.model_dump_json())
        temporary_file.replace(file)
