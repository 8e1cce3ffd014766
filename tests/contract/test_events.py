"""What travels between the services keeps to what is promised, now and for every event that was ever stored."""

import json
from functools import partial
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.events import KINDS, Event, by_name
from shared.events.cloudevents import decode, encode
from tests.contract import golden
from tests.contract.examples import EXAMPLES
from tools.contracts.documents import COMMAND, broken, committed, gone, schema_path, written
from tools.contracts.schemas import wire_schema

every_kind = partial(pytest.mark.parametrize, "kind", KINDS, ids=[kind.kind() for kind in KINDS])
every_example = partial(pytest.mark.parametrize, "event", EXAMPLES, ids=[str(event.kind()) for event in EXAMPLES])


def promised(kind: type[Event]) -> Draft202012Validator:
    """What is in the repository about a kind of event."""
    schema = committed(schema_path(kind.kind()))
    assert schema, f"there is no schema of {kind.kind()}; run: {COMMAND}"
    return Draft202012Validator(json.loads(schema), format_checker=Draft202012Validator.FORMAT_CHECKER)


@every_kind()
def test_what_is_promised_about_an_event_is_what_the_code_does(kind: type[Event]) -> None:
    path = schema_path(kind.kind())
    if committed(path) == written(wire_schema(kind)):
        return
    if reasons := broken(path, wire_schema(kind)):
        pytest.fail("breaks readers or stored events; make a new version beside it:\n" + "\n".join(reasons))
    pytest.fail(f"docs/{path} is not what the code does; the change breaks nobody, so run: {COMMAND}")


def test_no_kind_of_event_is_forgotten_while_its_events_are_kept() -> None:
    assert gone() == []
    assert {file.stem for file in golden.GOLDEN.glob("*.json")} == set(by_name(KINDS))


@every_kind()
def test_the_promise_itself_is_a_json_schema(kind: type[Event]) -> None:
    Draft202012Validator.check_schema(promised(kind).schema)


@every_example()
def test_an_event_that_is_told_keeps_the_promise(event: Event) -> None:
    promised(type(event)).validate(json.loads(encode(event)))


@every_example()
def test_an_event_that_travelled_says_the_same(event: Event) -> None:
    assert decode(encode(event), by_name(KINDS)) == event


@every_kind()
def test_an_event_stored_long_ago_keeps_the_promise_of_today(kind: type[Event]) -> None:
    for event in golden.stored(kind.kind()):
        promised(kind).validate(event)


@every_kind()
def test_an_event_stored_long_ago_is_still_read_and_nothing_of_it_is_lost(kind: type[Event]) -> None:
    assert golden.path(kind.kind()).exists(), "no event of this kind is kept; run: python -m tests.contract.golden"
    events = golden.stored(kind.kind())
    assert events
    for event in events:
        read = decode(json.dumps(event).encode(), by_name(KINDS))
        assert read is not None
        assert_holds(json.loads(encode(read)), event)


def assert_holds(now: Any, then: Any, at: str = "") -> None:
    """`now` says all that `then` said; it may say more."""
    if isinstance(then, dict):
        for name, value in then.items():
            assert name in now, f"{at}.{name} is lost"
            assert_holds(now[name], value, f"{at}.{name}")
    elif isinstance(then, list):
        assert len(now) == len(then), at
        for index, (a, b) in enumerate(zip(now, then, strict=True)):
            assert_holds(a, b, f"{at}[{index}]")
    else:
        assert now == then, at
