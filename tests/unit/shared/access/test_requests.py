"""What a request may do is decided before anything is shown, and what it may not see does not exist."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import httpx2
import pytest

from shared.access.grant import Check, Grant, Requester
from shared.access.target import Target
from shared.errors import NotFound
from tests.support.access import machine_of, person_of
from tests.unit.shared.access.clinic_world import (
    CLINIC,
    DEPUTIZED,
    ME,
    MY_CLINICIAN,
    NOW,
    OTHER_CLINIC,
    SUPERVISED,
    staff,
)
from tests.unit.shared.access.note_app import (
    A_COLLEAGUES,
    MINE,
    OTHER_NOTE,
    ROWS,
    NoteService,
    clinician,
    problem,
    unknown_note,
)


def same_answer(one: httpx2.Response, other: httpx2.Response, one_id: UUID, other_id: UUID) -> bool:
    """Whether two answers differ only in the id that the requests had."""
    return (one.status_code, one.text.replace(str(one_id), str(other_id))) == (other.status_code, other.text)


async def test_a_request_without_a_login_does_not_learn_whether_an_id_exists() -> None:
    service = clinician()
    known = service.add(MINE)
    async with service.open() as client:
        answers = [await client.get(f"/notes/{note_id}") for note_id in (known, uuid4())]

    assert [problem(answer) for answer in answers] == ["unauthenticated"] * 2
    assert answers[0].content == answers[1].content
    assert service.lookups == 0


@pytest.mark.parametrize("hidden", [A_COLLEAGUES, OTHER_NOTE, replace(MINE, clinic_id=OTHER_CLINIC)])
async def test_what_one_may_not_see_answers_like_an_unknown_id(hidden: Target) -> None:
    service = clinician()
    known, unknown = service.add(hidden), uuid4()
    headers = service.sign_in()
    async with service.open() as client:
        refused = await client.get(f"/notes/{known}", headers=headers)
        missing = await client.get(f"/notes/{unknown}", headers=headers)

    assert missing.status_code == 404
    assert same_answer(refused, missing, known, unknown)


async def test_an_operation_for_other_roles_is_refused_before_anything_is_looked_up() -> None:
    service = clinician()
    known = service.add(MINE)
    headers = service.sign_in()
    async with service.open() as client:
        answers = [await client.delete(f"/notes/{note_id}", headers=headers) for note_id in (known, uuid4())]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].content == answers[1].content
    assert service.lookups == 0


async def test_the_grant_says_for_the_audit_who_did_what_in_which_role() -> None:
    service = clinician()
    mine, other = service.add(MINE), service.add(A_COLLEAGUES)
    headers = service.sign_in()
    async with service.open() as client:
        await client.get(f"/notes/{mine}", headers=headers)
        await client.get(f"/notes/{other}", headers=headers)

    allowed, hidden = service.grants
    assert allowed.principal == service.authentication.principals["me"]
    assert allowed.checks == [Check("read_note", "clinician", MINE, "allowed")]
    assert hidden.checks == [Check("read_note", "clinician", A_COLLEAGUES, "hidden")]


async def test_a_link_to_what_a_colleague_left_to_a_deputy_opens_without_a_choice_of_role() -> None:
    service = clinician()
    deputized, mine = service.add(Target(CLINIC, DEPUTIZED)), service.add(MINE)
    headers = service.sign_in()
    async with service.open() as client:
        as_deputy = (await client.get(f"/notes/{deputized}", headers=headers)).json()
        as_clinician = (await client.get(f"/notes/{mine}", headers=headers)).json()

    assert (as_deputy["role"], as_deputy["is_reduced"]) == ("deputy", True)
    assert (as_clinician["role"], as_clinician["is_reduced"]) == ("clinician", False)


async def test_a_request_that_names_its_role_acts_in_no_other() -> None:
    service = clinician()
    deputized = service.add(Target(CLINIC, DEPUTIZED))
    headers = service.sign_in()
    async with service.open() as client:
        named = await client.get(f"/notes/{deputized}", headers={**headers, "Attune-Role": "clinician"})
        not_held = await client.get(f"/notes/{deputized}", headers={**headers, "Attune-Role": "supervisor"})

    assert (named.status_code, not_held.status_code) == (404, 403)


async def test_a_person_can_choose_among_the_roles_that_are_held_now() -> None:
    service = NoteService(staff("desk", "clinician"))

    assert await service.access.roles_of(person_of(CLINIC, ME)) == ("clinician", "deputy", "desk")
    assert await service.access.roles_of(person_of(OTHER_CLINIC, ME)) == ()


async def test_a_machine_reaches_its_clinic_with_its_scope_and_needs_no_staff() -> None:
    service = clinician()
    mine, elsewhere, unknown = service.add(MINE), service.add(OTHER_NOTE), uuid4()
    headers = service.send_as(machine_of(CLINIC, {"sessions"}))
    async with service.open() as client:
        allowed = await client.get(f"/notes/{mine}", headers=headers)
        refused = await client.get(f"/notes/{elsewhere}", headers=headers)
        missing = await client.get(f"/notes/{unknown}", headers=headers)
        without_scope = await client.get(
            f"/notes/{mine}", headers=service.send_as(machine_of(CLINIC, {"intake", "staff"}))
        )

    assert allowed.json()["role"] is None
    assert same_answer(refused, missing, elsewhere, unknown)
    assert without_scope.status_code == 403
    assert service.source.reads == 0


async def test_a_list_has_what_the_role_reaches() -> None:
    service = NoteService(staff("clinician", "supervisor"))
    mine = service.add(MINE)
    service.add(replace(MINE, ended_at=NOW - timedelta(days=31)))
    supervised = service.add(Target(CLINIC, SUPERVISED, ended_at=NOW - timedelta(days=31)))
    service.add(A_COLLEAGUES)
    headers = service.sign_in()
    async with service.open() as client:
        own = await client.get(f"/clinics/{CLINIC}/notes", headers=headers)
        team = await client.get(f"/clinics/{CLINIC}/notes", headers={**headers, "Attune-Role": "supervisor"})
        chosen = await client.get(f"/clinics/{CLINIC}/notes", headers=service.sign_in(chosen_role="supervisor"))
        machine = await client.get(
            f"/clinics/{CLINIC}/notes", headers=service.send_as(machine_of(CLINIC, {"sessions"}))
        )

    assert own.json() == [str(mine)]
    assert team.json() == chosen.json() == [str(supervised)]
    assert len(machine.json()) == 4


async def test_the_list_of_another_clinic_is_as_unknown_as_one_of_no_clinic() -> None:
    service = clinician()
    service.add(OTHER_NOTE)
    headers, unknown = service.sign_in(), uuid4()
    async with service.open() as client:
        refused = await client.get(f"/clinics/{OTHER_CLINIC}/notes", headers=headers)
        missing = await client.get(f"/clinics/{unknown}/notes", headers=headers)

    assert missing.status_code == 404
    assert same_answer(refused, missing, OTHER_CLINIC, unknown)


async def test_further_targets_are_shown_only_to_the_role_that_acts() -> None:
    service = NoteService(staff("clinician", "supervisor"))
    mine, supervised, earlier = (service.add(Target(CLINIC, c)) for c in (MY_CLINICIAN, SUPERVISED, SUPERVISED))
    headers = service.sign_in()
    async with service.open() as client:
        answers = [
            (await client.get(f"/notes/{note}", params={"earlier": str(earlier)}, headers=headers)).json()
            for note in (mine, supervised)
        ]

    assert [(answer["role"], answer["sees_earlier"]) for answer in answers] == [
        ("clinician", False),
        ("supervisor", True),
    ]


async def test_a_machine_that_sees_a_target_does_not_see_further_ones_without_a_scope_for_them() -> None:
    service = clinician()
    mine, earlier = service.add(MINE), service.add(MINE)
    headers = service.send_as(machine_of(CLINIC, {"sessions"}))
    async with service.open() as client:
        answer = await client.get(f"/notes/{mine}", params={"earlier": str(earlier)}, headers=headers)

    assert answer.json()["sees_earlier"] is False


async def test_a_role_that_has_listed_acts_for_the_rest_of_the_request() -> None:
    async def identify() -> Requester:
        return Requester(person_of(CLINIC, ME), staff("clinician", "supervisor"), named_role=None, now=NOW)

    grant = Grant([row for row in ROWS if row.operation == "list_notes"], identify)
    await grant.identify()
    grant.reach()

    with pytest.raises(NotFound):
        await grant.require(Target(CLINIC, SUPERVISED), unknown_note(uuid4()))
