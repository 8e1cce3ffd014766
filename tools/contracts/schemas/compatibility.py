"""Whether a contract may change as proposed.

Events are retained forever and services are not upgraded all at once, so a change must be compatible in both
directions. Stored events must stay readable (nothing may be narrowed), and readers of the old contract must understand
new events (nothing may be widened). Three changes are allowed: to add an optional field, to improve a description, and
to bound an integer by the largest that the database stores.
Everything else is a new meaning, and so a new version next to the old one.
"""

from collections.abc import Iterator
from typing import Any

from shared.events.model import MAX_INTEGER

Schema = dict[str, Any]

_ANNOTATION_KEYWORDS = {"$schema", "$defs", "title", "description", "examples", "deprecated"}
"""Keywords that no event can contradict."""

_LOWER_BOUND_KEYWORDS = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_UPPER_BOUND_KEYWORDS = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
_SUBSCHEMA_KEYWORDS = {"items", "additionalProperties", "propertyNames"}
"""Keywords whose value is a schema of its own."""

_BREAKS_STORED_EVENTS = "events already stored may not fit"
_BREAKS_READERS = "readers of the old contract do not expect it"


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Why `new` would break the readers of `old` or the events stored under it; empty if it would not.

    Any difference that is not known to be compatible counts as breaking.
    """
    return list(dict.fromkeys(_compare(_resolve_references(old, old), _resolve_references(new, new), "")))


def _resolve_references(schema: Any, root: Schema) -> Any:
    """The schema with every reference replaced by what it refers to."""
    match schema:
        case {"$ref": str(reference), **siblings}:
            target = root
            for name in reference.removeprefix("#/").split("/"):
                target = target[name]
            return {**_resolve_references(target, root), **siblings}
        case dict():
            return {name: _resolve_references(value, root) for name, value in schema.items() if name != "$defs"}
        case list():
            return [_resolve_references(value, root) for value in schema]
        case _:
            return schema


def _compare(old: Schema | bool, new: Schema | bool, path: str) -> Iterator[str]:
    before, after = _alternatives(old), _alternatives(new)
    for name in before.keys() - after.keys():
        yield f"{path or 'event'}: can no longer be {name}; {_BREAKS_STORED_EVENTS}"
    for name in after.keys() - before.keys():
        yield f"{path or 'event'}: can now be {name}; {_BREAKS_READERS}"
    for name in sorted(before.keys() & after.keys()):
        yield from _compare_one(before[name], after[name], path)


def _alternatives(schema: Schema | bool) -> dict[str, Schema]:
    """The alternatives of a value by JSON type; keywords next to `anyOf` apply to each alternative."""
    if isinstance(schema, bool):
        return {"anything": {}} if schema else {}
    if "anyOf" not in schema:
        return {str(schema.get("type", "anything")): schema}
    siblings = {name: value for name, value in schema.items() if name != "anyOf"}
    alternatives: dict[str, Schema] = {}
    for option in schema["anyOf"]:
        for name, alternative in _alternatives(option).items():
            duplicates = sum(existing.split(" #")[0] == name for existing in alternatives)
            alternatives[f"{name} #{duplicates + 1}" if duplicates else name] = {**alternative, **siblings}
    return alternatives


def _compare_one(old: Schema, new: Schema, path: str) -> Iterator[str]:
    location = path or "event"
    yield from _compare_values(old, new, location)
    yield from _compare_fields(old, new, path)
    for keyword in sorted(_SUBSCHEMA_KEYWORDS & (old.keys() | new.keys())):
        yield from _compare(old.get(keyword, True), new.get(keyword, True), f"{location} {_SUBSCHEMA_NAMES[keyword]}")
    for keyword in sorted((_LOWER_BOUND_KEYWORDS | _UPPER_BOUND_KEYWORDS) & (old.keys() | new.keys())):
        yield from _compare_bounds(keyword, old.get(keyword), new.get(keyword), location)
    compared_keywords = (
        {"enum", "const", "properties", "required", "default", "type"}
        | _SUBSCHEMA_KEYWORDS
        | _LOWER_BOUND_KEYWORDS
        | _UPPER_BOUND_KEYWORDS
        | _ANNOTATION_KEYWORDS
    )
    for keyword in sorted((old.keys() | new.keys()) - compared_keywords):
        if old.get(keyword) != new.get(keyword):
            yield f"{location}: {keyword} changed from {old.get(keyword)} to {new.get(keyword)}"


_SUBSCHEMA_NAMES = {"items": "items", "additionalProperties": "values", "propertyNames": "names"}


def _compare_values(old: Schema, new: Schema, location: str) -> Iterator[str]:
    before, after = _allowed_values(old), _allowed_values(new)
    if before is None and after is not None:
        yield f"{location}: is now one of {', '.join(after)}; {_BREAKS_STORED_EVENTS}"
    elif before is not None and after is None:
        yield f"{location}: is no longer one of {', '.join(before)}; {_BREAKS_READERS}"
    elif before is not None and after is not None:
        for value in (value for value in before if value not in after):
            yield f"{location}: can no longer be {value}; {_BREAKS_STORED_EVENTS}"
        for value in (value for value in after if value not in before):
            yield f"{location}: can now be {value}; {_BREAKS_READERS}"


def _allowed_values(schema: Schema) -> list[str] | None:
    if "const" in schema:
        return [repr(schema["const"])]
    return [repr(value) for value in schema["enum"]] if "enum" in schema else None


def _compare_fields(old: Schema, new: Schema, path: str) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    required_before, required_after = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(before.keys() | after.keys()):
        location = f"{path}.{name}".removeprefix(".")
        if name not in after:
            yield f"{location}: was removed; readers may rely on it"
        elif name not in before:
            if name in required_after:
                yield f"{location}: is new and required; {_BREAKS_STORED_EVENTS}: give it a default"
            yield from _compare_added_field(after[name], old.get("additionalProperties", True), location)
        else:
            if name in required_before - required_after:
                yield f"{location}: is no longer required; readers rely on it"
            if name in required_after - required_before:
                yield f"{location}: is now required; {_BREAKS_STORED_EVENTS}"
            if name not in required_before | required_after and _default_of(before[name]) != _default_of(after[name]):
                yield f"{location}: has another default, so events stored without it would change their meaning"
            yield from _compare(before[name], after[name], location)


def _compare_added_field(new: Schema, additional_properties: Schema | bool, location: str) -> Iterator[str]:
    """A field may be added if readers ignore unknown fields."""
    if additional_properties is not True:
        yield from _compare(additional_properties, new, location)


def _default_of(schema: Schema) -> Any:
    return ("default", schema["default"]) if "default" in schema else None


def _compare_bounds(keyword: str, old: float | None, new: float | None, location: str) -> Iterator[str]:
    if old == new or (keyword == "maximum" and old is None and new == MAX_INTEGER):  # nothing beyond it was ever stored
        return
    change = f"{location}: {keyword} changed from {_format_bound(old)} to {_format_bound(new)}"
    is_looser = new is None or (old is not None and ((new < old) == (keyword in _LOWER_BOUND_KEYWORDS)))
    yield f"{change}; {_BREAKS_READERS if is_looser else _BREAKS_STORED_EVENTS}"


def _format_bound(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
