"""A line of the audit has ids and fixed words only, and the same bytes for ever."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from shared.audit.chain import Head, extend
from shared.audit.line import Actor, AuditLine, AuditTarget, canonical_bytes, parse_line
from tests.support.audit_builders import ELM, KEY, make_line

LINE = AuditLine(
    id=UUID(int=1),
    at=datetime(2026, 11, 30, 9, 0, 0, 123_000, tzinfo=UTC),
    clinic_id=ELM,
    service="sessions",
    operation="read_session",
    actor=Actor(kind="person", id=UUID(int=2), role="deputy"),
    on_behalf_of=UUID(int=3),
    targets=(AuditTarget(kind="session", id=UUID(int=4)),),
    outcome="allowed",
    address="192.0.2.7",
    request_id=UUID(int=5),
)
BYTES = (
    b'{"actor":{"id":"00000000-0000-0000-0000-000000000002","kind":"person","role":"deputy"},"address":"192.0.2.7",'
    b'"at":"2026-11-30T09:00:00.123+00:00","clinic_id":"e1000000-0000-4000-8000-000000000001",'
    b'"id":"00000000-0000-0000-0000-000000000001","on_behalf_of":"00000000-0000-0000-0000-000000000003",'
    b'"operation":"read_session","outcome":"allowed","request_id":"00000000-0000-0000-0000-000000000005",'
    b'"service":"sessions","targets":[{"id":"00000000-0000-0000-0000-000000000004","kind":"session"}]}'
)
MAC = "4555eaaf127498380ef5c1f7fcbc18d6f0a5b0b019dcfab02681292e9ba9083f"
SHORTEST_BYTES = (
    b'{"actor":{"kind":"link"},"at":"2026-11-30T09:00:00.123+00:00","clinic_id":"e1000000-0000-4000-8000-000000000001",'
    b'"id":"00000000-0000-0000-0000-000000000001","operation":"open_client_form","outcome":"hidden",'
    b'"service":"sessions","targets":[]}'
)


def test_a_line_has_the_same_bytes_and_the_same_mac_in_every_version() -> None:
    (entry,) = extend(Head(ELM), [LINE], KEY)

    assert canonical_bytes(LINE) == BYTES
    assert entry.mac == MAC


def test_what_a_line_leaves_out_is_not_in_its_bytes_so_that_later_fields_change_no_old_line() -> None:
    line = LINE.model_copy(
        update={
            "operation": "open_client_form",
            "actor": Actor(kind="link"),
            "on_behalf_of": None,
            "targets": (),
            "outcome": "hidden",
            "address": None,
            "request_id": None,
        }
    )

    assert canonical_bytes(line) == SHORTEST_BYTES
    assert parse_line(SHORTEST_BYTES) == line


def test_a_line_is_read_back_from_its_bytes() -> None:
    line = make_line("complete_session", UUID(int=9))

    assert parse_line(canonical_bytes(line)) == line


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("operation", "The client said that it hurts"),
        ("operation", "anna@clinic.example"),
        ("targets", [{"kind": "Anna Müller", "id": UUID(int=4)}]),
        ("targets", [{"kind": "client", "id": "case 4711"}]),
        ("outcome", "client was rude"),
        ("address", "the tablet in room 4"),
        ("address", "fe80::1%the tablet"),
        ("service", "pharmacy"),
        ("actor", {"kind": "person", "id": UUID(int=2), "name": "Anna"}),
        ("note", "rating 3"),
        ("at", datetime(2026, 11, 30, 9)),  # noqa: DTZ001 - that is what is refused
    ],
)
def test_a_line_cannot_hold_words_or_names(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as raised:
        AuditLine.model_validate({**LINE.model_dump(), field: value})

    assert str(value) not in str(raised.value)


def test_times_and_addresses_have_one_form() -> None:
    moment = datetime(2026, 11, 30, 10, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=1)))

    line = AuditLine.model_validate({**LINE.model_dump(), "at": moment, "address": "2001:DB8:0::1"})

    assert line.at == LINE.at
    assert line.address == "2001:db8::1"
