"""How far the demo has come, so that it goes on from there at the next start."""

from datetime import datetime
from pathlib import Path
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class DemoState(BaseModel):
    """The world, and what Attune has been told of it."""

    model_config = ConfigDict(validate_assignment=True)

    seed: int
    until: datetime
    """The day of the first start: what came before is history, what comes after happens now."""
    told: set[UUID] = set()
    """The relationships whose history is told."""
    sessions_since: int = 0
    """How many sessions have happened since."""

    @classmethod
    def load_or_create(cls, file: Path, seed: int, now: datetime) -> Self:
        """As it was kept; a new one where there is none."""
        return cls.model_validate_json(file.read_bytes()) if file.exists() else cls(seed=seed, until=now)

    def save(self, file: Path) -> None:
        """Write it whole, or not at all."""
        temporary_file = file.with_suffix(".new")
        temporary_file.write_text(self.model_dump_json())
        temporary_file.replace(file)
