"""What requests to sessions may contain."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.sessions.http.api import AnswerBody


@pytest.mark.parametrize(
    "field", [{"instrument": {"name": "srs"}}, {"ratings": {"fit": 5}, "outcome": {"name": "ors"}}]
)
@pytest.mark.parametrize("total", [False, True, "12"])
def test_the_total_of_an_instrument_is_a_number(field: dict[str, dict[str, Any]], total: object) -> None:
    """`false` would be a total of 0."""
    name = list(field)[-1]
    body = {"given_at": "2026-11-28T10:00:00Z", **field, name: {**field[name], "total": total}}

    with pytest.raises(ValidationError, match="valid number"):
        AnswerBody.model_validate(body)
