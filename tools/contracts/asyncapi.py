"""An AsyncAPI 3.0 document of which service publishes and consumes which events, generated from the services.

The generator of faststream describes a subscriber by the argument type of its handler. Ours take raw batches, so that
one bad message does not fail the rest, and would be described as empty.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from shared.errors import DeadLetterCause
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
DEAD_LETTER_RESOLVED = "dead-letter-resolved"

_KEY = {
    "type": "string",
    "format": "uuid",
    "description": "What the event is about; events with the same key are published in order.",
}


@dataclass(frozen=True)
class ServiceEvents:
    """The purpose of one service, and the events that it consumes and publishes."""

    purpose: str
    consumed: tuple[type[Event], ...]
    published: tuple[type[Event], ...]


def asyncapi(services: Mapping[str, ServiceEvents]) -> JsonObject:
    """The document; its payloads refer to the schemas in `schemas/`."""
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
            "description": "The events that the services of Attune publish. Every message is a CloudEvent 1.0 in "
            "structured JSON, is keyed by what it is about, is delivered at least once and retained forever.",
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
        "description": f"Published by {topic.publisher}. Others publish here only what they redrive.",
        "messages": {
            _type_name(event_type): _ref("components", "messages", _type_name(event_type)) for event_type in event_types
        },
    }


def _dead_letter_channel(consumer: str) -> JsonObject:
    return {
        "address": dead_letter_topic(consumer).name,
        "description": f"Messages that {consumer} cannot decode, for a person to resolve.",
        "messages": {name: _ref("components", "messages", name) for name in (DEAD_LETTER, DEAD_LETTER_RESOLVED)},
    }


def _operations(service: str, service_events: ServiceEvents) -> Iterable[tuple[str, JsonObject]]:
    for action, verb, event_types in (
        ("receive", "consumes", service_events.consumed),
        ("send", "publishes", service_events.published),
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
            f"{service}-publishes-{own_topic.name}",
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
        "summary": "A message that its consumer cannot use, byte for byte, with its original key and headers.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {
                CAUSE_HEADER: {
                    "type": "string",
                    "enum": list(get_args(DeadLetterCause)),
                    "description": "Cause of the error.",
                },
                ERROR_HEADER: {
                    "type": "string",
                    "description": "Reason, and the wrong field if known; never content.",
                },
                ORIGIN_HEADER: {
                    "type": "string",
                    "description": "topic/partition/offset of the message; the same when it is dead-lettered twice.",
                },
                DEAD_LETTERED_AT_HEADER: {"type": "string", "format": "date-time"},
            },
            "required": [CAUSE_HEADER, ERROR_HEADER, ORIGIN_HEADER, DEAD_LETTERED_AT_HEADER],
        },
        "payload": {"description": "The original bytes."},
    }


def _dead_letter_resolved_message() -> JsonObject:
    return {
        "name": DEAD_LETTER_RESOLVED,
        "title": "DeadLetterResolved",
        "summary": "Resolution of a dead letter; the key is its origin.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {
                RESOLUTION_HEADER: {
                    "type": "string",
                    "enum": list(get_args(ResolutionAction)),
                    "description": "The message was redriven to its original topic, or discarded.",
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
