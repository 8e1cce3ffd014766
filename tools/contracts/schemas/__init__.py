"""The contract of each event, as a JSON Schema of what travels, and whether a change of it would break anybody."""

from tools.contracts.schemas.compatibility import breaking_changes
from tools.contracts.schemas.wire import Schema, wire_schema

__all__ = ["Schema", "breaking_changes", "wire_schema"]
