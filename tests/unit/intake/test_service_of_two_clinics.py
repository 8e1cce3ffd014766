"""A use case of intake answers what belongs to another clinic as it answers what does not exist."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.intake.domain.people import Clinic
from services.intake.domain.relationship import AimsAgreement, Consent, End, EndCorrection
from shared.access.clinic_id import ClinicId
from shared.errors import IdTaken, NotFound, Rejected
from tests.support.intake_builders import CLINIC, OTHER_CLINIC, STARTED
from tests.unit.intake.harness import ANNA, CLIENT, Intake

Request = Callable[[Intake, ClinicId | None, UUID], Awaitable[Any]]
LATER = STARTED + timedelta(days=7)

ABOUT_A_RELATIONSHIP: dict[str, Request] = {
    "get": lambda intake, clinic, r: intake.relationships.get_relationship(clinic, r),
    "aims": lambda intake, clinic, r: intake.relationships.update_aims(
        clinic, r, AimsAgreement(aims=("loss",), agreed_at=LATER)
    ),
    "consent": lambda intake, clinic, r: intake.relationships.change_consent(clinic, r, Consent(given=False, at=LATER)),
    "end": lambda intake, clinic, r: intake.relationships.end_relationship(clinic, r, "completed", LATER),
    "correct": lambda intake, clinic, r: intake.relationships.correct_end(
        clinic, r, EndCorrection(correction_id=uuid4(), end=End(reason="other", at=LATER))
    ),
    "transfer": lambda intake, clinic, r: intake.relationships.transfer_relationship(clinic, r, uuid4(), ANNA, LATER),
}
ABOUT_A_CLINIC: dict[str, Request] = {
    "list": lambda intake, clinic, c: intake.caseload.list_relationships(clinic, c, None, 10),
    "import": lambda intake, clinic, c: intake.caseload.import_caseload(clinic, c, b"", dry_run=False),
    "register": lambda intake, clinic, c: intake.people.register_clinician(clinic, uuid4(), c, "a@b.org", "UTC"),
    "add": lambda intake, clinic, c: intake.people.add_client(clinic, uuid4(), c, "AB-13"),
    "start": lambda intake, clinic, c: intake.start(uuid4(), clinic=clinic, clinic_id=c),
    "save": lambda intake, clinic, c: intake.people.save_clinic(
        clinic, Clinic(clinic_id=c, name="Oak", time_zone="UTC", crisis_contact="112")
    ),
}


@pytest.fixture
async def intake() -> Intake:
    intake = Intake()
    await intake.set_up()
    await intake.people.save_clinic(
        OTHER_CLINIC, Clinic(clinic_id=OTHER_CLINIC, name="Oak", time_zone="UTC", crisis_contact="112")
    )
    return intake


async def rejection(request: Awaitable[Any], record_id: UUID) -> tuple[type[Rejected], str, str]:
    """How a request about `record_id` is rejected, without that id."""
    with pytest.raises(Rejected) as raised:
        await request
    return type(raised.value), raised.value.code, str(raised.value).replace(str(record_id), "")


@pytest.mark.parametrize("request_name", ABOUT_A_RELATIONSHIP)
async def test_a_relationship_of_another_clinic_is_as_if_unknown(intake: Intake, request_name: str) -> None:
    relationship = await intake.start(uuid4())
    send, events = ABOUT_A_RELATIONSHIP[request_name], intake.pending_types()

    foreign, unknown = [
        await rejection(send(intake, OTHER_CLINIC, r), r) for r in (relationship.relationship_id, uuid4())
    ]

    assert foreign == unknown
    assert foreign[0] is NotFound
    assert intake.pending_types() == events
    assert await intake.relationships.get_relationship(CLINIC, relationship.relationship_id) == relationship


@pytest.mark.parametrize("request_name", ABOUT_A_CLINIC)
async def test_another_clinic_is_as_if_unknown(intake: Intake, request_name: str) -> None:
    send, events = ABOUT_A_CLINIC[request_name], intake.pending_types()

    foreign, unknown = [await rejection(send(intake, OTHER_CLINIC, c), c) for c in (CLINIC, uuid4())]

    assert foreign == unknown
    assert foreign[0] is NotFound
    assert intake.pending_types() == events


async def test_the_id_of_a_clinician_or_client_of_another_clinic_is_taken(intake: Intake) -> None:
    for request in (
        intake.people.register_clinician(OTHER_CLINIC, ANNA, OTHER_CLINIC, "a@example.org", "UTC"),
        intake.people.add_client(OTHER_CLINIC, CLIENT, OTHER_CLINIC, "ZZ-1"),
        intake.people.add_client(OTHER_CLINIC, CLIENT, OTHER_CLINIC, None),
    ):
        with pytest.raises(IdTaken):
            await request

    assert (await intake.people.add_client(CLINIC, CLIENT, CLINIC, None)).case_code == "AB-12"
