"""Policies as files: read and checked whole before anything is opened, and written with every key explained."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from services.alliance.domain.policy.policy import DEFAULT, Policies, Policy

SHIPPED = Path(__file__).with_name("default.toml")
"""Equal to DEFAULT, and the form in which every policy is written."""

_TABLE = re.compile(r"\s*\[\s*([\w.\- ]+?)\s*\]")
_KEY = re.compile(r"""\s*["']?([\w.\- ]+?)["']?\s*=""")
_TOML_SAYS = re.compile(r"(.*) \(at line (\d+), column \d+\)")
_PLAINLY = {"extra_forbidden": "there is no such key", "model_type": "should be a table", "missing": "is missing"}

Place = tuple[str, ...]
"""A key with the tables that it is in."""


class WrongPolicy(Exception):
    """A policy file that cannot be used. Its text is one line: the file, where it is wrong, what and why."""


def policies_in(folder: Path | None) -> Policies:
    """The policy of each clinic, from `<clinic_id>.toml` and `default.toml` in `folder`. Raises WrongPolicy."""
    if folder is None:
        return Policies()
    if not folder.is_dir():
        raise WrongPolicy(f"{folder}: there is no such folder")
    others, own = DEFAULT, {}
    for file in sorted(folder.glob("*.toml")):
        if file.stem == "default":
            others = policy_in(file)
        else:
            own[_clinic(file)] = policy_in(file)
    return Policies(others, own)


def policy_in(file: Path) -> Policy:
    """The policy in `file`; what it leaves out is as shipped. Raises WrongPolicy."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongPolicy(f"{file}: cannot be read: {_reason(error)}") from None
    try:
        return Policy.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        said = _TOML_SAYS.fullmatch(str(error))
        where = f"line {said[2]}: {said[1]}" if said else str(error)
        raise WrongPolicy(f"{file}: is no TOML: {where}") from None
    except ValidationError as error:
        raise WrongPolicy(f"{file}: {'; '.join(_wrong(text, error))}") from None


def as_toml(policy: Policy, heading: Sequence[str]) -> str:
    """A complete policy file that says of each key what it does, under `heading`."""
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    values = policy.model_dump()
    for number, place in _places(lines):
        value: Any = values
        for name in place:
            value = value[name]
        if not isinstance(value, dict):
            lines[number] = f"{place[-1]} = {value!r}"
    explained = lines[next(number for number, line in enumerate(lines) if line.startswith("# A belief")) :]
    return "\n".join([*(f"# {line}".rstrip() for line in heading), "#", *explained, ""])


def _clinic(file: Path) -> UUID:
    try:
        clinic = UUID(file.stem)
    except ValueError:
        clinic = None
    if str(clinic) != file.stem:
        raise WrongPolicy(f"{file}: is named neither default.toml nor after a clinic, like {UUID(int=0)}.toml")
    return UUID(file.stem)


def _wrong(text: str, error: ValidationError) -> Iterator[str]:
    for found in error.errors(include_url=False):
        place, told = tuple(str(part) for part in found["loc"]), ""
        if not place:  # what holds between two keys is told at the one that the file names
            place = ("urgent",) if _line(text, ("urgent",)) else ("concern",)
        elif not isinstance(found["input"], dict):
            told = f" = {found['input']!r}"
        why = _PLAINLY.get(found["type"], found["msg"].removeprefix("Value error, "))
        line = _line(text, place)
        yield f"{f'line {line}: ' if line else ''}{'.'.join(place)}{told}: {why}"


def _line(text: str, place: Place) -> int | None:
    """The line, from 1 on, that says most of `place`: its key, else the table that lacks it."""
    said = [(len(there), -number) for number, there in _places(text.splitlines()) if place[: len(there)] == there]
    return 1 - max(said)[1] if said else None


def _places(lines: Sequence[str]) -> Iterator[tuple[int, Place]]:
    """Each line, from 0 on, that opens a table or gives a key."""
    table: Place = ()
    for number, line in enumerate(lines):
        if found := _TABLE.match(line):
            table = _names(found[1])
            yield number, table
        elif found := _KEY.match(line):
            yield number, (*table, *_names(found[1]))


def _names(dotted: str) -> Place:
    return tuple(name.strip() for name in dotted.split("."))


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "is not UTF-8"
