"""Events as CloudEvents 1.0 in structured JSON, on Kafka and in the outbox in MongoDB."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from shared.errors import DecodeError
from shared.events.model import Event, EventT

CONTENT_TYPE = "application/cloudevents+json"
MAX_EVENT_BYTES = 64 * 1024
"""More than any of our events has. A larger message cannot be decoded."""
MAX_DESCRIBED_ERRORS = 10
"""Of one message, each once: the text becomes a header of the dead letter, which Kafka must accept."""

_REQUIRED_ATTRIBUTES = ("specversion", "id", "type", "time", "partitionkey", "data")


def source(event_type: type[Event]) -> str:
    """The publisher of this event type, as a CloudEvents source."""
    return f"/attune/{event_type.TOPIC.publisher}"


def encode(event: Event) -> bytes:
    """The event as it travels."""
    event_type = type(event)
    data = event.model_dump(mode="json", exclude={"id", "occurred_at", "type", event_type.KEY})
    return to_json(
        {
            "specversion": "1.0",
            "id": event.id,
            "source": source(event_type),
            "type": event_type.event_type(),
            "time": event.occurred_at,
            "partitionkey": event.key,
            "datacontenttype": "application/json",
            "data": data,
        }
    )


def decode(
    message: bytes | None, event_types: Mapping[str, type[EventT]], max_bytes: int | None = MAX_EVENT_BYTES
) -> EventT | None:
    """The event in a message; None if its type is not among `event_types`, which is not an error.

    What this program has encoded itself is decoded with `max_bytes=None`: an event of the largest size may have grown.
    Raises DecodeError with the cause, the field and the reason, never the content.
    """
    if message is None:
        raise DecodeError("empty", "message: is empty")
    if max_bytes is not None and len(message) > max_bytes:
        raise DecodeError("too_large", f"message: is larger than {max_bytes} bytes")
    envelope = _parse_envelope(message)
    event_type = event_types.get(envelope["type"])
    if event_type is None:
        return None
    try:
        return event_type.model_validate(
            {
                **envelope["data"],
                "id": envelope["id"],
                "occurred_at": envelope["time"],
                "type": envelope["type"],
                event_type.KEY: envelope["partitionkey"],
            }
        )
    except ValidationError as error:
        raise DecodeError("schema", _describe_errors(error)) from None


def decode_routing(message: bytes) -> tuple[str, str]:
    """The type and the key of an encoded event; its data is not validated. Raises DecodeError."""
    envelope = _parse_envelope(message)
    return envelope["type"], envelope["partitionkey"]


def _parse_envelope(message: bytes) -> dict[str, Any]:
    try:
        envelope = from_json(message)
    except ValueError:
        raise DecodeError("not_json", "message: is not JSON") from None
    if not isinstance(envelope, dict):
        raise DecodeError("no_event", "message: is not a JSON object")
    if missing := [name for name in _REQUIRED_ATTRIBUTES if name not in envelope]:
        raise DecodeError("no_event", f"{', '.join(missing)}: missing, so this is not an Attune CloudEvent")
    if envelope["specversion"] != "1.0":
        raise DecodeError("no_event", "specversion: is not 1.0")
    if not isinstance(envelope["type"], str):
        raise DecodeError("no_event", "type: is not a string")
    if not isinstance(envelope["data"], dict):
        raise DecodeError("no_event", "data: is not a JSON object")
    return envelope


def _describe_errors(error: ValidationError) -> str:
    """Field and reason, never values, which may be answers. Only top-level fields are named: keys may be answers."""
    errors = error.errors(include_input=False, include_url=False, include_context=False)
    texts = dict.fromkeys(f"{e['loc'][0] if e['loc'] else 'data'}: {e['msg']}" for e in errors)
    return "; ".join(list(texts)[:MAX_DESCRIBED_ERRORS])
