"""Policies as files: validated completely when they are read, and written with an explanation of every key."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from pydantic import ValidationError

from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies, Policy

DEFAULT_POLICY_FILE = Path(__file__).with_name("default.toml")
"""Equal to DEFAULT_POLICY, and the template for every policy that is written."""

RETIRED_KEYS = frozenset({"low_level", "element_points", "apart_points", "withdrawal"})
"""Keys of earlier releases. A file that still has them is read, and they have no effect."""

THRESHOLDS = frozenset({"watch", "concern", "urgent"})
"""Without `base_rate`, they are of an earlier release, where the same number meant something else: no effect either."""

_TABLE_PATTERN = re.compile(r"\s*\[\s*([\w.\- ]+?)\s*\]")
_KEY_PATTERN = re.compile(r"""\s*["']?([\w.\- ]+?)["']?\s*=""")
_TOML_ERROR_PATTERN = re.compile(r"(.*) \(at line (\d+), column \d+\)")
_NAME_IN_RULE_PATTERN = re.compile(r"(\w+) \(")  # "urgent (0.1) must not be less than concern (0.2)"
_ERROR_MESSAGES = {
    "extra_forbidden": "unknown key",
    "model_type": "should be a table",
    "missing": "is missing",
}

log = structlog.get_logger()

KeyPath = tuple[str, ...]
"""A key, after the tables that contain it."""


class InvalidPolicy(Exception):
    """A policy file that cannot be used. The message is one line: the file, the place, the value and the reason."""


def load_policies(policy_dir: Path | None) -> Policies:
    """The policy of each clinic, from `<clinic_id>.toml` and `default.toml` in `policy_dir`. Raises InvalidPolicy."""
    if policy_dir is None:
        return Policies()
    if not policy_dir.is_dir():
        raise InvalidPolicy(f"{policy_dir}: folder does not exist")
    default, by_clinic = DEFAULT_POLICY, {}
    for file in sorted(policy_dir.glob("*.toml")):
        if file.stem == "default":
            default = load_policy(file)
        else:
            by_clinic[_clinic_id(file)] = load_policy(file)
    return Policies(default, by_clinic)


def load_policy(file: Path) -> Policy:
    """The policy in `file`; a missing key has its default value. Raises InvalidPolicy."""
    try:
        text = file.read_text(encoding="utf-8-sig")  # editors on Windows write a byte-order mark
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidPolicy(f"{file}: cannot be read: {_read_error_reason(error)}") from None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _TOML_ERROR_PATTERN.fullmatch(str(error))
        location = f"line {match[2]}: {match[1]}" if match else str(error)
        raise InvalidPolicy(f"{file}: invalid TOML: {location}") from None
    try:
        return Policy.model_validate(_leave_out_ineffective(values, file))
    except ValidationError as error:
        raise InvalidPolicy(f"{file}: {'; '.join(_describe_errors(text, error))}") from None


def to_toml(policy: Policy, heading: Sequence[str]) -> str:
    """A complete policy file that explains every key, under `heading`."""
    lines = DEFAULT_POLICY_FILE.read_text(encoding="utf-8").splitlines()
    values = policy.model_dump()
    for line_index, key_path in _key_paths(lines):
        value: Any = values
        for key in key_path:
            value = value[key]
        if not isinstance(value, dict):
            lines[line_index] = f"{key_path[-1]} = {value!r}"
    marker = "# A rupture probability"  # begins what is not only about the default policy
    body = lines[next(line_index for line_index, line in enumerate(lines) if line.startswith(marker)) :]
    return "\n".join([*(f"# {line}".rstrip() for line in heading), "#", *body, ""])


def _leave_out_ineffective(values: dict[str, Any], file: Path) -> dict[str, Any]:
    retired = RETIRED_KEYS & values.keys()
    thresholds = frozenset() if "base_rate" in values else THRESHOLDS & values.keys()
    for keys, warning in (
        (retired, "policy keys have no effect any more: remove them from the file"),
        (thresholds, "thresholds have no effect without base_rate, for which they are stated: set it too"),
    ):
        if keys:
            log.warning(warning, file=str(file), keys=sorted(keys))
    return {key: value for key, value in values.items() if key not in retired | thresholds}


def _clinic_id(file: Path) -> UUID:
    try:
        clinic_id = UUID(file.stem)
    except ValueError:
        clinic_id = None
    if str(clinic_id) != file.stem:
        raise InvalidPolicy(f"{file}: file name must be default.toml or <clinic_id>.toml, like {UUID(int=0)}.toml")
    return UUID(file.stem)


def _describe_errors(text: str, error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        key_path, shown_value = tuple(str(part) for part in detail["loc"]), ""
        if not key_path:  # a rule about two keys is reported at the first that the file contains
            names = _NAME_IN_RULE_PATTERN.findall(detail["msg"])
            key_path = (next((name for name in names if _find_line(text, (name,))), names[0]),)
        elif not isinstance(detail["input"], dict):
            shown_value = f" = {detail['input']!r}"
        reason = _ERROR_MESSAGES.get(detail["type"], detail["msg"].removeprefix("Value error, "))
        line_number = _find_line(text, key_path)
        yield f"{f'line {line_number}: ' if line_number else ''}{'.'.join(key_path)}{shown_value}: {reason}"


def _find_line(text: str, key_path: KeyPath) -> int | None:
    """The line, from 1 on, of the key at `key_path`, or of the table that lacks it."""
    matches = [
        (len(other_path), -line_index)
        for line_index, other_path in _key_paths(text.splitlines())
        if key_path[: len(other_path)] == other_path
    ]
    return 1 - max(matches)[1] if matches else None


def _key_paths(lines: Sequence[str]) -> Iterator[tuple[int, KeyPath]]:
    """Each line, from 0 on, that opens a table or sets a key."""
    table: KeyPath = ()
    for line_index, line in enumerate(lines):
        if match := _TABLE_PATTERN.match(line):
            table = _split_key(match[1])
            yield line_index, table
        elif match := _KEY_PATTERN.match(line):
            yield line_index, (*table, *_split_key(match[1]))


def _split_key(dotted: str) -> KeyPath:
    return tuple(part.strip() for part in dotted.split("."))


def _read_error_reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "not valid UTF-8"
