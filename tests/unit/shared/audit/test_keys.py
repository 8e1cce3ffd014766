"""The keys of the audit are read from one text, and an error shows nothing of them."""

import base64

import pytest

from shared.audit.keys import parse_audit_keys

NEW, OLD = (base64.b64encode(bytes([byte] * 32)).decode() for byte in (7, 8))


def test_the_first_key_writes_and_all_of_them_verify() -> None:
    keys = parse_audit_keys(f"2026:{NEW}\n2025:{OLD}\n")

    assert (keys.current.id, keys.current.secret) == ("2026", bytes([7] * 32))
    assert {key_id: key.secret for key_id, key in keys.by_id.items()} == {
        "2026": bytes([7] * 32),
        "2025": bytes([8] * 32),
    }
    assert NEW not in repr(keys)
    assert str(bytes([7] * 32)) not in repr(keys)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no key"),
        (NEW, "without an id"),
        (f":{NEW}", "without an id"),
        (f"2026\x00:{NEW}", "without an id"),
        (f"2026:{NEW[:-2]}", "not base64: 2026"),
        ("2026:c2hvcnQ=", "shorter than 32 bytes: 2026"),
        (f"2026:{NEW} 2026:{OLD}", "the same id"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_without_showing_them(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        parse_audit_keys(text)

    assert NEW[:8] not in str(raised.value)
