"""A change of a contract is compatible only if it breaks neither readers nor stored events."""

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from shared.events import FeedbackSubmitted
from tools.contracts.schemas import Schema, breaking_changes, wire_schema


def event_schema(required: tuple[str, ...] = ("minutes",), **field_schemas: Any) -> Schema:
    return {
        "type": "object",
        "properties": {"minutes": {"type": "integer", **field_schemas.pop("minutes", {})}, **field_schemas},
    } | {"required": list(required)}


def any_of(*options: Schema) -> Schema:
    return {"anyOf": list(options)}


TEXT, NUMBER, INTEGER, NULL = ({"type": name} for name in ("string", "number", "integer", "null"))

COMPATIBLE_CHANGES = {
    "an optional field is added": (event_schema(), event_schema(note={**TEXT, "default": ""})),
    "a description is improved": (
        event_schema(minutes={"description": "How long."}),
        event_schema(minutes={"description": "How long it took.", "title": "Minutes", "examples": [50]}),
    ),
    "an integer is bounded by the largest that the database stores": (
        event_schema(minutes={"minimum": 1}),
        event_schema(minutes={"minimum": 1, "maximum": 2**63 - 1}),
    ),
    "choices are listed in another order": (
        event_schema(by={"type": "string", "enum": ["client", "clinic"]}),
        event_schema(by={"type": "string", "enum": ["clinic", "client"]}),
    ),
    "types are listed in another order": (
        event_schema(level=any_of(NUMBER, NULL)),
        event_schema(level=any_of(NULL, NUMBER)),
    ),
    "a subschema is inlined": (
        {"$ref": "#/$defs/Sign", "$defs": {"Sign": event_schema()}},
        event_schema(),
    ),
    "an optional field is added to a subschema": (
        event_schema(sign={"$ref": "#/$defs/Sign"}) | {"$defs": {"Sign": event_schema()}},
        event_schema(sign={"$ref": "#/$defs/Sign"}) | {"$defs": {"Sign": event_schema(note=TEXT)}},
    ),
}

BREAKING_CHANGES = {
    "a field is removed": (event_schema(note=TEXT), event_schema(), "note: was removed"),
    "a field is renamed": (event_schema(note=TEXT), event_schema(remark=TEXT), "note: was removed"),
    "a required field is added": (
        event_schema(),
        event_schema(("minutes", "note"), note=TEXT),
        "note: is new and required",
    ),
    "a field becomes optional": (event_schema(), event_schema(()), "minutes: is no longer required"),
    "a field becomes required": (event_schema(()), event_schema(), "minutes: is now required"),
    "a type changes": (event_schema(note=TEXT), event_schema(note=NUMBER), "note: can now be number"),
    "an integer becomes a number": (event_schema(), event_schema(minutes=NUMBER), "minutes: can now be number"),
    "a value becomes nullable": (
        event_schema(note=TEXT),
        event_schema(note=any_of(TEXT, NULL)),
        "note: can now be null",
    ),
    "a value is no longer nullable": (
        event_schema(note=any_of(TEXT, NULL)),
        event_schema(note=TEXT),
        "note: can no longer be null",
    ),
    "a choice is added": (
        event_schema(by={**TEXT, "enum": ["client"]}),
        event_schema(by={**TEXT, "enum": ["client", "clinic"]}),
        "by: can now be 'clinic'",
    ),
    "a choice is removed": (
        event_schema(by={**TEXT, "enum": ["client", "clinic"]}),
        event_schema(by={**TEXT, "enum": ["client"]}),
        "by: can no longer be 'clinic'",
    ),
    "a single choice changes": (
        event_schema(by={**TEXT, "const": "client"}),
        event_schema(by={**TEXT, "const": "clinic"}),
        "by: can now be 'clinic'",
    ),
    "choices become free text": (
        event_schema(by={**TEXT, "enum": ["client"]}),
        event_schema(by=TEXT),
        "by: is no longer one of 'client'",
    ),
    "free text becomes choices": (
        event_schema(by=TEXT),
        event_schema(by={**TEXT, "enum": ["client"]}),
        "by: is now one of 'client'",
    ),
    "a minimum is lowered": (
        event_schema(minutes={"minimum": 5}),
        event_schema(minutes={"minimum": 1}),
        "minutes: minimum changed from 5 to 1; readers",
    ),
    "a minimum is raised": (
        event_schema(minutes={"minimum": 1}),
        event_schema(minutes={"minimum": 5}),
        "minutes: minimum changed from 1 to 5; events already stored",
    ),
    "a maximum is removed": (
        event_schema(minutes={"maximum": 480}),
        event_schema(),
        "minutes: maximum changed from 480 to none; readers",
    ),
    "a maximum is added": (
        event_schema(),
        event_schema(minutes={"maximum": 480}),
        "minutes: maximum changed from none to 480; events already stored",
    ),
    "a pattern changes": (
        event_schema(note={**TEXT, "pattern": "a"}),
        event_schema(note={**TEXT, "pattern": "b"}),
        "note: pattern",
    ),
    "a format changes": (event_schema(note={**TEXT, "format": "uuid"}), event_schema(note=TEXT), "note: format"),
    "a default changes": (
        event_schema(note={**TEXT, "default": "a"}),
        event_schema(note={**TEXT, "default": "b"}),
        "note: has another",
    ),
    "a default is added": (
        event_schema(note=TEXT),
        event_schema(note={**TEXT, "default": "b"}),
        "note: has another default",
    ),
    "the items of a list change": (
        event_schema(aims={"type": "array", "items": TEXT}),
        event_schema(aims={"type": "array", "items": NUMBER}),
        "aims items: can now be number",
    ),
    "a list may be empty": (
        event_schema(aims={"type": "array", "items": TEXT, "minItems": 1}),
        event_schema(aims={"type": "array", "items": TEXT}),
        "aims: minItems changed from 1 to none; readers",
    ),
    "the values of a map change": (
        event_schema(ratings={"type": "object", "additionalProperties": {**NUMBER, "maximum": 10}}),
        event_schema(ratings={"type": "object", "additionalProperties": {**NUMBER, "maximum": 100}}),
        "ratings values: maximum changed from 10 to 100",
    ),
    "the names of a map change": (
        event_schema(ratings={"type": "object", "propertyNames": {"enum": ["trust"]}}),
        event_schema(ratings={"type": "object", "propertyNames": {"enum": ["trust", "fit"]}}),
        "ratings names: can now be 'fit'",
    ),
    "unknown fields are rejected": (
        event_schema(),
        event_schema() | {"additionalProperties": False},
        "can no longer be anything",
    ),
    "a field is added although readers reject unknown fields": (
        event_schema() | {"additionalProperties": False},
        event_schema(note=TEXT) | {"additionalProperties": False},
        "note: can now be string",
    ),
    "a referenced subschema changes": (
        event_schema(sign={"$ref": "#/$defs/Sign"}) | {"$defs": {"Sign": event_schema()}},
        event_schema(sign={"$ref": "#/$defs/Sign"}) | {"$defs": {"Sign": event_schema(())}},
        "sign.minutes: is no longer required",
    ),
    "an unknown keyword changes": (
        event_schema(minutes={"multipleOf": 5}),
        event_schema(minutes={"multipleOf": 1}),
        "minutes: multipleOf changed",
    ),
}


@pytest.mark.parametrize(("old", "new"), COMPATIBLE_CHANGES.values(), ids=COMPATIBLE_CHANGES.keys())
def test_a_change_is_compatible_when(old: Schema, new: Schema) -> None:
    assert breaking_changes(old, new) == []


@pytest.mark.parametrize(("old", "new", "reason"), BREAKING_CHANGES.values(), ids=BREAKING_CHANGES.keys())
def test_a_change_is_breaking_when(old: Schema, new: Schema, reason: str) -> None:
    assert any(reason in found for found in breaking_changes(old, new)), breaking_changes(old, new)


def test_a_breaking_change_is_reported_with_the_path_of_the_field() -> None:
    class Changed(FeedbackSubmitted):
        """Anybody said how the session felt."""

        rater: str  # type: ignore[assignment]

    assert breaking_changes(wire_schema(FeedbackSubmitted), wire_schema(Changed)) == [
        "data.rater: is no longer one of 'client', 'clinician'; readers of the old contract do not expect it"
    ]


NAMES = ("a", "b", "c")
values = st.one_of(
    st.just(NULL),
    st.builds(lambda low: {**INTEGER, "minimum": low}, st.integers(0, 2)),
    st.builds(lambda high: {**NUMBER, "maximum": high}, st.integers(0, 2)),
    st.builds(lambda choices: {**TEXT, "enum": sorted(choices)}, st.sets(st.sampled_from("xyz"), min_size=1)),
)
fields = values | st.builds(lambda one, other: any_of(one, other), values, values)
lists = st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, fields, st.integers(0, 1))
maps = st.builds(lambda of: {"type": "object", "additionalProperties": of}, fields)
schemas = st.builds(
    lambda properties, required: {
        "type": "object",
        "properties": properties,
        "required": sorted(required & properties.keys()),
    },
    st.dictionaries(st.sampled_from(NAMES), fields | lists | maps),
    st.sets(st.sampled_from(NAMES)),
)


def instances(schema: Schema) -> st.SearchStrategy[Any]:
    """Values that match a generated schema and have no other fields."""
    match schema:
        case {"anyOf": list(options)}:
            return st.one_of(*map(instances, options))
        case {"enum": list(choices)}:
            return st.sampled_from(choices)
        case {"type": "null"}:
            return st.none()
        case {"type": "integer", "minimum": int(low)}:
            return st.integers(low, 4)
        case {"type": "number", "maximum": int(high)}:
            return st.floats(-1, high)
        case {"type": "array", "items": dict(items), "minItems": int(least)}:
            return st.lists(instances(items), min_size=least, max_size=2)
        case {"additionalProperties": dict(value_schema)}:
            return st.dictionaries(st.sampled_from(NAMES), instances(value_schema), max_size=2)
        case {"properties": dict(properties), "required": list(required)}:
            drawn = {name: instances(field) for name, field in properties.items()}
            return st.fixed_dictionaries(
                {name: drawn[name] for name in required},
                optional={name: field for name, field in drawn.items() if name not in required},
            )
        case _:
            raise AssertionError(schema)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_after_a_compatible_change_old_and_new_events_are_valid_for_both(data: st.DataObject) -> None:
    old = data.draw(schemas)
    new = data.draw(st.one_of(altered_schema(old), schemas))
    assume(not breaking_changes(old, new))
    added = new["properties"].keys() - old["properties"].keys()

    stored, published = data.draw(instances(old)), data.draw(instances(new))

    assert Draft202012Validator(new).is_valid({k: v for k, v in stored.items() if k not in added})
    assert Draft202012Validator(old).is_valid(published)


def altered_schema(schema: Schema) -> st.SearchStrategy[Schema]:
    """The schema with one of its fields replaced, added, or required or not."""
    return st.builds(
        lambda name, field, is_required: {
            "type": "object",
            "properties": {**schema["properties"], name: field},
            "required": sorted(
                {*schema["required"], name} & {*schema["properties"], name}
                if is_required
                else {*schema["required"]} - {name}
            ),
        },
        st.sampled_from(NAMES),
        fields | lists | maps,
        st.booleans(),
    )


@given(schema=schemas)
def test_an_unchanged_schema_is_compatible(schema: Schema) -> None:
    assert breaking_changes(schema, schema) == []
