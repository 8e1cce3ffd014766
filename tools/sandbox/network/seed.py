"""Ids and random numbers that depend on nothing but a seed and what they are for."""

from dataclasses import dataclass
from random import Random
from uuid import UUID, uuid5

NAMESPACE = UUID("5b1c2f0e-6d0c-4b8e-9d0a-2f3f0c7e9a11")


@dataclass(frozen=True)
class Seed:
    """The seed of a simulated network."""

    value: int

    def id(self, *parts: object) -> UUID:
        """The id of what `parts` name."""
        return uuid5(NAMESPACE, "/".join(map(str, (self.value, *parts))))

    def random(self, *parts: object) -> Random:
        """Random numbers for what `parts` name, independent of all others."""
        return Random("/".join(map(str, (self.value, *parts))))
