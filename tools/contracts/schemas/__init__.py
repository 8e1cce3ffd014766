"""The contract of each event type as a JSON Schema of its messages, and whether a change of it breaks a consumer."""

from tools.contracts.schemas.compatibility import breaking_changes
from tools.contracts.schemas.wire import Schema, wire_schema

__all__ = ["Schema", "breaking_changes", "wire_schema"]
