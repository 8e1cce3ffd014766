"""What travels between the services keeps to what is promised, now and for every event that was ever stored."""

import json
from functools import partial
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.events import EVENT_TYPES, Event, by_type
from shared.events.cloudevents import decode, encode
from tests.contract import golden
from tests.contract.examples import EXAMPLES
from tools.contracts.documents import (
    REGENERATE_COMMAND,
    find_incompatibilities,
    read_committed,
    removed_event_schemas,
    schema_path,
    serialize,
)
from tools.contracts.schemas import wire_schema

every_event_type = partial(
    pytest.mark.parametrize, "kind", EVENT_TYPES, ids=[kind.event_type() for kind in EVENT_TYPES]
)
every_example = partial(pytest.mark.parametrize, "event", EXAMPLES, ids=[str(event.event_type()) for event in EXAMPLES])


def committed_validator(event_type: type[Event]) -> Draft202012Validator:
    """What is in the repository about a kind of event."""
    schema = read_committed(schema_path(event_type.event_type()))
    assert schema, f"there is no schema of {event_type.event_type()}; run: {REGENERATE_COMMAND}"
    return Draft202012Validator(json.loads(schema), format_checker=Draft202012Validator.FORMAT_CHECKER)


@every_event_type()
def test_what_is_promised_about_an_event_is_what_the_code_does(event_type: type[Event]) -> None:
    path = schema_path(event_type.event_type())
    if read_committed(path) == serialize(wire_schema(event_type)):
        return
    if reasons := find_incompatibilities(path, wire_schema(event_type)):
        pytest.fail("breaks readers or stored events; make a new version beside it:\n" + "\n".join(reasons))
    pytest.fail(f"docs/{path} is not what the code does; the change breaks nobody, so run: {REGENERATE_COMMAND}")


def test_no_kind_of_event_is_forgotten_while_its_events_are_kept() -> None:
    assert removed_event_schemas() == []
    assert {file.stem for file in golden.GOLDEN_DIR.glob("*.json")} == set(by_type(EVENT_TYPES))


@every_event_type()
def test_the_promise_itself_is_a_json_schema(event_type: type[Event]) -> None:
    Draft202012Validator.check_schema(committed_validator(event_type).schema)


@every_example()
def test_an_event_that_is_told_keeps_the_promise(event: Event) -> None:
    committed_validator(type(event)).validate(json.loads(encode(event)))


@every_example()
def test_an_event_that_travelled_says_the_same(event: Event) -> None:
    assert decode(encode(event), by_type(EVENT_TYPES)) == event


@every_event_type()
def test_an_event_stored_long_ago_keeps_the_promise_of_today(event_type: type[Event]) -> None:
    for event in golden.stored_events(event_type.event_type()):
        committed_validator(event_type).validate(event)


@every_event_type()
def test_an_event_stored_long_ago_is_still_read_and_nothing_of_it_is_lost(event_type: type[Event]) -> None:
    assert golden.golden_path(event_type.event_type()).exists(), (
        "no event of this kind is kept; run: python -m tests.contract.golden"
    )
    events = golden.stored_events(event_type.event_type())
    assert events
    for event in events:
        read = decode(json.dumps(event).encode(), by_type(EVENT_TYPES))
        assert read is not None
        assert_contains(json.loads(encode(read)), event)


def assert_contains(actual: Any, expected: Any, path: str = "") -> None:
    """`now` says all that `then` said; it may say more."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            assert name in actual, f"{path}.{name} is lost"
            assert_contains(actual[name], value, f"{path}.{name}")
    elif isinstance(expected, list):
        assert len(actual) == len(expected), path
        for index, (a, b) in enumerate(zip(actual, expected, strict=True)):
            assert_contains(a, b, f"{path}[{index}]")
    else:
        assert actual == expected, path
