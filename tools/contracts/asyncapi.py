"""Who tells and who hears what, as an AsyncAPI 3.0 document made from what the services themselves say.

faststream's own generator describes a subscriber by the type of its handler's argument; ours take raw batches, so
that one bad message does not fail its neighbours, and would come out empty.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from shared.errors import Cause
from shared.events import Event
from shared.events.cloudevents import CONTENT_TYPE
from shared.events.topics import SUBJECTS, Topic, dead_letters
from shared.kafka.dead_letters.record import CAUSE, ERROR, ORIGIN, SET_ASIDE_AT, SETTLED, SETTLED_AT, How

Part = dict[str, Any]

DEAD_LETTER = "dead-letter"
DEAD_LETTER_SETTLED = "dead-letter-settled"

_KEY = {"type": "string", "format": "uuid", "description": "What the event is about; its events are told in order."}


@dataclass(frozen=True)
class Role:
    """What one service hears and tells."""

    purpose: str
    hears: tuple[type[Event], ...]
    tells: tuple[type[Event], ...]


def asyncapi(roles: Mapping[str, Role]) -> Part:
    """The document; the payloads are the schemas beside it, in `schemas/`."""
    event_types = sorted(
        {
            event_type
            for service_events in roles.values()
            for event_type in (*service_events.hears, *service_events.tells)
        },
        key=_name,
    )
    consumers = [name for name, service_events in roles.items() if service_events.hears]
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
                for topic in SUBJECTS
            },
            **{dead_letters(name).name: _set_aside(name) for name in consumers},
        },
        "operations": {
            key: operation
            for name, service_events in roles.items()
            for key, operation in _operations(name, service_events)
        },
        "components": {
            "messages": {
                **{_name(event_type): _message(event_type) for event_type in event_types},
                DEAD_LETTER: _dead_letter(),
                DEAD_LETTER_SETTLED: _settled(),
            }
        },
    }


def _channel(topic: Topic, kinds: Iterable[type[Event]]) -> Part:
    return {
        "address": topic.name,
        "description": f"Told by {topic.publisher} only.",
        "messages": {_name(event_type): _ref("components", "messages", _name(event_type)) for event_type in kinds},
    }


def _set_aside(consumer: str) -> Part:
    return {
        "address": dead_letters(consumer).name,
        "description": f"What {consumer} will never be able to read, for a person to look at.",
        "messages": {name: _ref("components", "messages", name) for name in (DEAD_LETTER, DEAD_LETTER_SETTLED)},
    }


def _operations(service: str, service_events: Role) -> Iterable[tuple[str, Part]]:
    for action, verb, event_types in (
        ("receive", "hears", service_events.hears),
        ("send", "tells", service_events.tells),
    ):
        for topic in SUBJECTS:
            if on_topic := sorted((event_type for event_type in event_types if topic == event_type.TOPIC), key=_name):
                names = [_name(event_type) for event_type in on_topic]
                yield f"{service}-{verb}-{topic.name}", _operation(service, service_events, action, topic, names)
    if service_events.hears:
        own_topic = dead_letters(service)
        yield (
            f"{service}-tells-{own_topic.name}",
            _operation(service, service_events, "send", own_topic, [DEAD_LETTER, DEAD_LETTER_SETTLED]),
        )


def _operation(service: str, service_events: Role, action: str, topic: Topic, messages: list[str]) -> Part:
    operation: Part = {
        "action": action,
        "channel": _ref("channels", topic.name),
        "summary": service_events.purpose,
        "tags": [{"name": service}],
        "messages": [_ref("channels", topic.name, "messages", message) for message in messages],
    }
    if action == "receive":
        operation["bindings"] = {"kafka": {"groupId": {"type": "string", "const": service}}}
    return operation


def _message(kind: type[Event]) -> Part:
    return {
        "name": _name(kind),
        "title": kind.__name__,
        "summary": kind.__doc__,
        "contentType": CONTENT_TYPE,
        "payload": {"$ref": f"schemas/{_name(kind)}.json"},
        "bindings": {"kafka": {"key": _KEY}},
    }


def _dead_letter() -> Part:
    return {
        "name": DEAD_LETTER,
        "title": "DeadLetter",
        "summary": "A message that its consumer will never be able to read, to the byte, with its own key and headers.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {
                CAUSE: {"type": "string", "enum": list(get_args(Cause)), "description": "Why, in a word."},
                ERROR: {"type": "string", "description": "Where and why, never what was in it."},
                ORIGIN: {"type": "string", "description": "topic/partition/offset; set aside twice, it is the same."},
                SET_ASIDE_AT: {"type": "string", "format": "date-time"},
            },
            "required": [CAUSE, ERROR, ORIGIN, SET_ASIDE_AT],
        },
        "payload": {"description": "Whatever bytes came."},
    }


def _settled() -> Part:
    return {
        "name": DEAD_LETTER_SETTLED,
        "title": "DeadLetterSettled",
        "summary": "What became of a dead letter; the key is its origin.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {
                SETTLED: {
                    "type": "string",
                    "enum": list(get_args(How)),
                    "description": "Its message was sent back to where it came from, or nobody wants it.",
                },
                SETTLED_AT: {"type": "string", "format": "date-time"},
            },
            "required": [SETTLED, SETTLED_AT],
        },
        "payload": {"description": "None."},
    }


def _name(kind: type[Event]) -> str:
    return kind.kind()


def _ref(*path: str) -> Part:
    return {"$ref": "#/" + "/".join(path)}
