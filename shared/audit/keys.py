"""The keys of the audit: one writes, and older ones still verify what they have written."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MIN_KEY_BYTES = 32
"""As long as the MAC that SHA-256 makes."""


@dataclass(frozen=True)
class AuditKey:
    """A secret, and the id under which each entry names it."""

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True)
class AuditKeys:
    """The key that writes, and all keys that verify, by their ids."""

    current: AuditKey
    by_id: Mapping[str, AuditKey]


def parse_audit_keys(text: str) -> AuditKeys:
    """The keys of a text of the form `id:base64 id:base64`; the first one writes. Raises ValueError."""
    keys = [_parse_key(part) for part in text.split()]
    if not keys:
        raise ValueError("has no key; write it as id:base64")
    by_id = {key.id: key for key in keys}
    if len(by_id) < len(keys):
        raise ValueError("has two keys with the same id")
    return AuditKeys(keys[0], by_id)


def _parse_key(text: str) -> AuditKey:
    """The text of the error contains nothing of the key."""
    key_id, _, encoded = text.partition(":")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,40}", key_id):
        raise ValueError(
            "has a key without an id of at most 40 letters, digits, dots and dashes; write it as id:base64"
        )
    try:
        secret = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError(f"has a key that is not base64: {key_id}") from None
    if len(secret) < MIN_KEY_BYTES:
        raise ValueError(f"has a key shorter than {MIN_KEY_BYTES} bytes: {key_id}")
    return AuditKey(key_id, secret)
