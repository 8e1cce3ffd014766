"""The JSON Schema of an event as published: the whole CloudEvent, for readers in any language.

A field with a default in the model is optional: topics are retained forever, and an event stored before the field was
added must match the current schema.
"""

from typing import Any

from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core.core_schema import CoreSchema

from shared.events import Event
from shared.events.cloudevents import source

Schema = dict[str, Any]

JSON_SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _UntitledJsonSchema(GenerateJsonSchema):
    """Omits the titles that only repeat the names of fields."""

    def field_title_should_be_set(self, schema: CoreSchema | FieldInfo | Any) -> bool:
        return False


def wire_schema(event_type: type[Event]) -> Schema:
    """The JSON Schema (2020-12) of all events of this type that are or ever were on its topic."""
    model = event_type.model_json_schema(schema_generator=_UntitledJsonSchema)
    fields: Schema = model["properties"]
    envelope_fields = {"id", "occurred_at", "type", event_type.KEY}
    envelope = {
        "specversion": _constant("1.0"),
        "id": {**fields["id"], "description": "The same whenever the event is published again: deduplicate by it."},
        "source": _constant(source(event_type)),
        "type": _constant(event_type.event_type()),
        "time": {**fields["occurred_at"], "description": "When it happened; UTC, millisecond precision."},
        "partitionkey": {
            **fields[event_type.KEY],
            "description": f"The {event_type.KEY}; also the key of the Kafka message.",
        },
        "datacontenttype": _constant("application/json"),
        "data": {
            "type": "object",
            "properties": {name: field for name, field in fields.items() if name not in envelope_fields},
            "required": [name for name in model["required"] if name not in envelope_fields],
        },
    }
    return {
        "$schema": JSON_SCHEMA_DIALECT,
        "title": event_type.event_type(),
        "description": model["description"],
        "type": "object",
        "properties": envelope,
        "required": list(envelope),
        **({"$defs": model["$defs"]} if "$defs" in model else {}),
    }


def _constant(value: str) -> Schema:
    return {"type": "string", "const": value}
