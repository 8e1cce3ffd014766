"""The id of a clinic, as a type of its own, so that no other id can take its place in a query."""

from typing import NewType
from uuid import UUID

ClinicId = NewType("ClinicId", UUID)
"""The clinic that a request is confined to."""
