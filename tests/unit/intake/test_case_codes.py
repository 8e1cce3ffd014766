"""Case codes that identify nobody."""

from itertools import islice
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.case_codes import choose_case_codes, reject_identifying
from services.intake.domain.people import Client, add_client
from shared.errors import Invalid


@pytest.mark.parametrize("case_code", ["ANNA-MUELLER", "MUELLER", "ANNA", "1-ANNA", "X9ANNA"])
def test_four_letters_in_a_row_could_be_a_name(case_code: str) -> None:
    with pytest.raises(Invalid, match="name") as raised:
        reject_identifying(case_code)

    assert case_code not in str(raised.value)


@pytest.mark.parametrize(
    "case_code",
    [
        *("1980-01-31", "31-01-1980", "01-31-1980", "1980-31-01", "31-1-80", "1-31-80", "80-01-31"),
        *("19800131", "31011980", "01311980", "310180", "800131", "013180", "1980-0131", "3101-1980"),
        *("31JAN80", "31-JAN-1980", "OKT-3-1990", "1990MRZ03", "29-02-00", "AM310180", "A-1980-01-31", "AM-310180-X"),
    ],
)
def test_a_date_in_any_order_could_be_a_birthday(case_code: str) -> None:
    with pytest.raises(Invalid, match="date"):
        reject_identifying(case_code)


@pytest.mark.parametrize(
    "case_code",
    [
        *("AB-12", "ELM-0001", "C-1", "A31-0112", "2026-0001", "123456", "12345678", "0Z", "A1B2C3D4", "1000000000"),
        *("40-40-40", "31-02-1980", "1850-01-31", "JAN-12", "12-31", "MAY-1", "NEW-31018"),
    ],
)
def test_other_codes_are_accepted(case_code: str) -> None:
    reject_identifying(case_code)


@given(client_id=st.uuids())
def test_chosen_codes_identify_nobody_and_are_the_same_each_time(client_id: UUID) -> None:
    choices = list(islice(choose_case_codes(client_id), 3))

    for case_code in choices:
        reject_identifying(case_code)
        Client(client_id=client_id, clinic_id=client_id, case_code=case_code)
    assert len(set(choices)) == 3
    assert choices == list(islice(choose_case_codes(client_id), 3))


def test_a_code_that_a_client_has_already_is_accepted_for_ever() -> None:
    known = Client(client_id=uuid4(), clinic_id=uuid4(), case_code="ANNA-MUELLER")

    assert add_client(known, known) == (known, ())
    with pytest.raises(Invalid):
        add_client(None, known)
