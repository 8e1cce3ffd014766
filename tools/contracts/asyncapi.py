"""Who tells and who hears what, as an AsyncAPI 3.0 document made from what the services themselves say.

faststream's own generator describes a subscriber by the type of its handler's argument; ours take raw batches, so
that one bad message does not fail its neighbours, and would come out empty.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from shared.errors import DecodeErrorCause
from shared.events import Event
from shared.events.cloudevents import CONTENT_TYPE
from shared.events.topics import EVENT_TOPICS, Topic, dead_letter_topic
from shared.kafka.dead_letters.record import (
    CAUSE_HEADER,
    DEAD_LETTERED_AT_HEADER,
    ERROR_HEADER,
    ORIGIN_HEADER,
    RESOLUTION_HEADER,
    RESOLVED_AT_HEADER,
    ResolutionAction,
)

JsonObject = dict[str, Any]

DEAD_LETTER = "dead-letter"
DEAD_LETTER_RESOLVED = "dead-letter-settled"

_KEY = {"type": "string", "format": "uuid", "description": "What the event is about; its events are told in order."}


@dataclass(frozen=True)
class ServiceEvents:
    """What one service hears and tells."""

    purpose: str
    consumed: tuple[type[Event], ...]
    published: tuple[type[Event], ...]


def asyncapi(services: Mapping[str, ServiceEvents]) -> JsonObject:
    """The document; the payloads are the schemas beside it, in `schemas/`."""
    event_types = sorted(
        {
            event_type
            for service_events in services.values()
            for event_type in (*service_events.consumed, *service_events.published)
        },
        key=_type_name,
    )
    consumers = [name for name, service_events in services.items() if service_events.consumed]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Attune",
            "version": "1",
            "description": "What the services of Attune tell each other. Every message is a CloudEvent 1.0 in "
            "structured JSON, is keyed by what it is about, is delivered at least once and kept for good.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {
            **{
                topic.name: _channel(topic, [candidate for candidate in event_types if topic == candidate.TOPIC])
                for topic in EVENT_TOPICS
            },
            **{dead_letter_topic(name).name: _dead_letter_channel(name) for name in consumers},
        },
        "operations": {
            key: operation
            for name, service_events in services.items()
            for key, operation in _operations(name, service_events)
        },
        "components": {
            "messages": {
                **{_type_name(event_type): _message(event_type) for event_type in event_types},
                DEAD_LETTER: _dead_letter_message(),
                DEAD_LETTER_RESOLVED: _dead_letter_resolved_message(),
            }
        },
    }


def _channel(topic: Topic, event_types: Iterable[type[Event]]) -> JsonObject:
    return {
        "address": topic.name,
        "description": f"Told by {topic.publisher} only.",
        "messages": {
            _type_name(event_type): _ref("components", "messages", _type_name(event_type)) for event_type in event_types
        },
    }


def _dead_letter_channel(consumer: str) -> JsonObject:
    return {
        "address": dead_letter_topic(consumer).name,
        "description": f"What {consumer} will never be able to read, for a person to look at.",
        "messages": {name: _ref("components", "messages", name) for name in (DEAD_LETTER, DEAD_LETTER_RESOLVED)},
    }


def _operations(service: str, service_events: ServiceEvents) -> Iterable[tuple[str, JsonObject]]:
    for action, verb, event_types in (
        ("receive", "hears", service_events.consumed),
        ("send", "tells", service_events.published),
    ):
        for topic in EVENT_TOPICS:
            if on_topic := sorted(
                (event_type for event_type in event_types if topic == event_type.TOPIC), key=_type_name
            ):
                names = [_type_name(event_type) for event_type in on_topic]
                yield f"{service}-{verb}-{topic.name}", _operation(service, service_events, action, topic, names)
    if service_events.consumed:
        own_topic = dead_letter_topic(service)
        yield (
            f"{service}-tells-{own_topic.name}",
            _operation(service, service_events, "send", own_topic, [DEAD_LETTER, DEAD_LETTER_RESOLVED]),
        )


def _operation(
    service: str, service_events: ServiceEvents, action: str, topic: Topic, messages: list[str]
) -> JsonObject:
    operation: JsonObject = {
        "action": action,
        "channel": _ref("channels", topic.name),
        "summary": service_events.purpose,
        "tags": [{"name": service}],
        "messages": [_ref("channels", topic.name, "messages", message) for message in messages],
    }
    if action == "receive":
        operation["bindings"] = {"kafka": {"groupId": {"type": "string", "const": service}}}
    return operation


def _message(event_type: type[Event]) -> JsonObject:
    return {
        "name": _type_name(event_type),
        "title": event_type.__name__,
        "summary": event_type.__doc__,
        "contentType": CONTENT_TYPE,
        "payload": {"$ref": f"schemas/{_type_name(event_type)}.json"},
        "bindings": {"kafka": {"key": _KEY}},
    }


def _dead_letter_message() -> JsonObject:
    return {
        "name": DEAD_LETTER,
        "title": "DeadLetter",
        "summary": "A message that its consumer will never be able to read, to the byte, with its own key and headers.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {
                CAUSE_HEADER: {
                    "type": "string",
                    "enum": list(get_args(DecodeErrorCause)),
                    "description": "Why, in a word.",
                },
                ERROR_HEADER: {"type": "string", "description": "Where and why, never what was in it."},
                ORIGIN_HEADER: {
                    "type": "string",
                    "description": "topic/partition/offset; set aside twice, it is the same.",
                },
                DEAD_LETTERED_AT_HEADER: {"type": "string", "format": "date-time"},
            },
            "required": [CAUSE_HEADER, ERROR_HEADER, ORIGIN_HEADER, DEAD_LETTERED_AT_HEADER],
        },
        "payload": {"description": "Whatever bytes came."},
    }


def _dead_letter_resolved_message() -> JsonObject:
    return {
        "name": DEAD_LETTER_RESOLVED,
        "title": "DeadLetterSettled",
        "summary": "What became of a dead letter; the key is its origin.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {
                RESOLUTION_HEADER: {
                    "type": "string",
                    "enum": list(get_args(ResolutionAction)),
                    "description": "Its message was sent back to where it came from, or nobody wants it.",
                },
                RESOLVED_AT_HEADER: {"type": "string", "format": "date-time"},
            },
            "required": [RESOLUTION_HEADER, RESOLVED_AT_HEADER],
        },
        "payload": {"description": "None."},
    }


def _type_name(event_type: type[Event]) -> str:
    return event_type.event_type()


def _ref(*path: str) -> JsonObject:
    return {"$ref": "#/" + "/".join(path)}
