"""Whatever is done to a stored chain without its key is found."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.audit.chain import Head, extend
from shared.audit.keys import AuditKey, AuditKeys
from shared.audit.line import Actor
from shared.audit.verify import ChainVerifier, Problem, StoredEntry, UnreadableEntry
from tests.support.audit_builders import ELM, KEY, KEYS, OAK, OLD_KEY, make_line, make_lines

WRONG_KEY = AuditKey(KEY.id, bytes(32))
CHAIN = extend(Head(ELM), make_lines(8), KEY)
FORGED_FIELDS: list[dict[str, Any]] = [
    {"operation": "cancel_session"},
    {"actor": Actor(kind="machine", id=uuid4())},
    {"at": CHAIN[0].line.at + timedelta(milliseconds=1)},
    {"outcome": "forbidden"},
    {"targets": ()},
    {"address": None},
    {"on_behalf_of": uuid4()},
    {"request_id": None},
    {"id": uuid4()},
    {"clinic_id": OAK},
    {"service": "notify"},
]


def find_problems(
    entries: Sequence[StoredEntry], known_heads: Sequence[Head] = (), keys: AuditKeys = KEYS
) -> list[Problem]:
    """What the verifier finds in these entries, which it gets in the order of their sequence."""
    verifier = ChainVerifier("sessions", ELM, keys, known_heads)
    ordered = sorted(entries, key=lambda entry: entry.sequence or 0)
    return [*(problem for entry in ordered for problem in verifier.verify(entry)), *verifier.finish()]


def kinds(problems: Sequence[Problem]) -> list[tuple[int, str]]:
    return [(problem.sequence, problem.kind) for problem in problems]


def test_a_chain_that_is_as_it_was_written_has_no_problem() -> None:
    assert [entry.sequence for entry in CHAIN] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert find_problems(CHAIN, [CHAIN[3].head, CHAIN[7].head, Head(OAK, 99, "0")]) == []
    assert find_problems([]) == []


def test_a_chain_goes_on_under_a_new_key() -> None:
    old = extend(Head(ELM), make_lines(3), OLD_KEY)
    new = extend(old[-1].head, make_lines(3), KEY)

    assert find_problems([*old, *new]) == []
    assert kinds(find_problems([*old, *new], keys=AuditKeys(KEY, {KEY.id: KEY}))) == [
        (n, "unknown-key") for n in (1, 2, 3)
    ]


@given(st.integers(0, 7), st.sampled_from(FORGED_FIELDS))
def test_a_changed_field_is_found(place: int, fields: dict[str, Any]) -> None:
    changed = replace(CHAIN[place], line=CHAIN[place].line.model_copy(update=fields))

    found = find_problems([*CHAIN[:place], changed, *CHAIN[place + 1 :]])

    assert {problem.sequence for problem in found} == {place + 1}
    assert {problem.kind for problem in found} == {"changed"}


@given(st.integers(0, 7), st.sampled_from(["mac", "previous_mac", "key_id"]))
def test_a_changed_place_in_the_chain_is_found(place: int, name: str) -> None:
    entry = CHAIN[place]
    value = OLD_KEY.id if name == "key_id" else "f" * 64
    forged = {"mac": replace(entry, mac=value), "previous_mac": replace(entry, previous_mac=value)}.get(
        name, replace(entry, key_id=value)
    )

    found = find_problems([*CHAIN[:place], forged, *CHAIN[place + 1 :]])

    assert (place + 1, "changed") in kinds(found)


@given(st.integers(0, 7))
def test_a_removed_entry_is_found(place: int) -> None:
    found = find_problems([*CHAIN[:place], *CHAIN[place + 1 :]], [CHAIN[-1].head])

    assert kinds(found) == ([(place + 2, "removed")] if place < 7 else [(7, "truncated")])


@given(st.integers(0, 7))
def test_a_truncated_chain_is_found_by_a_head_that_was_written_down(length: int) -> None:
    assert kinds(find_problems(CHAIN[:length], [CHAIN[-1].head])) == [(length, "truncated")]
    assert find_problems(CHAIN[:length]) == []  # which shows why heads are written down


@given(st.permutations(range(8)).filter(lambda order: list(order) != sorted(order)))
def test_reordered_entries_are_found(order: Sequence[int]) -> None:
    """Whether the places are exchanged, or all but the places."""
    moved = [replace(CHAIN[place], sequence=n + 1) for n, place in enumerate(order)]
    renumbered = [
        replace(CHAIN[place], sequence=n + 1, previous_mac=CHAIN[n].previous_mac) for n, place in enumerate(order)
    ]
    expected = {n + 1 for n, place in enumerate(order) if place != n}

    for entries in (moved, renumbered):
        assert {sequence for sequence, kind in kinds(find_problems(entries)) if kind == "changed"} >= expected


@given(st.integers(0, 7), st.booleans())
def test_a_forked_chain_is_found(place: int, first: bool) -> None:
    other = extend(CHAIN[place - 1].head if place else Head(ELM), [make_line()], KEY)[0]
    pair = [other, CHAIN[place]] if first else [CHAIN[place], other]

    found = find_problems([*CHAIN[:place], *pair, *CHAIN[place + 1 :]])

    assert kinds(found) == [(place + 1, "forked")]


@given(st.integers(0, 8))
def test_entries_made_without_the_key_are_found(place: int) -> None:
    before = CHAIN[place - 1].head if place else Head(ELM)
    forged = extend(before, [entry.line for entry in CHAIN[place:]] or [make_line()], WRONG_KEY)

    found = find_problems([*CHAIN[:place], *forged])

    assert kinds(found) == [(entry.sequence, "changed") for entry in forged]


def test_an_entry_of_the_chain_of_another_clinic_is_found() -> None:
    foreign = extend(Head(OAK), make_lines(8, OAK), KEY)

    assert (3, "changed") in kinds(find_problems([*CHAIN[:2], foreign[2], *CHAIN[3:]]))


def test_the_whole_chain_of_another_clinic_or_service_is_found() -> None:
    of_oak = extend(Head(OAK), make_lines(2, OAK), KEY)
    of_notify = extend(Head(ELM), [make_line(service="notify"), make_line(service="notify")], KEY)

    for foreign in (of_oak, of_notify):
        assert kinds(find_problems(foreign)) == [(1, "changed"), (2, "changed")]


def test_an_entry_of_a_branch_that_was_not_continued_is_found() -> None:
    branch = extend(CHAIN[1].head, make_lines(2), KEY)

    assert kinds(find_problems([*CHAIN[:3], branch[1]])) == [(4, "changed")]


def test_a_chain_that_was_written_anew_with_the_key_differs_from_the_head_that_was_written_down() -> None:
    again = extend(CHAIN[5].head, make_lines(4), KEY)

    assert kinds(find_problems([*CHAIN[:6], *again], [CHAIN[7].head])) == [(8, "changed")]


@pytest.mark.parametrize("sequence", [None, 4])
def test_an_unreadable_entry_is_found_and_the_rest_is_verified(sequence: int | None) -> None:
    verifier = ChainVerifier("sessions", ELM, KEYS, [])
    changed = replace(CHAIN[5], mac="f" * 64)
    entries: list[StoredEntry] = [*CHAIN[:3], UnreadableEntry(sequence), CHAIN[4], changed]

    found = [problem for entry in entries for problem in verifier.verify(entry)]

    assert kinds(found) == [(4, "unreadable"), (6, "changed")]


def test_the_damage_of_one_entry_does_not_hide_that_of_another() -> None:
    second, sixth = (replace(CHAIN[place], line=make_line()) for place in (1, 5))

    found = find_problems([CHAIN[0], second, *CHAIN[3:5], sixth, CHAIN[6]], [CHAIN[7].head])

    assert kinds(found) == [(2, "changed"), (4, "removed"), (6, "changed"), (7, "truncated")]
