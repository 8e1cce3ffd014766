"""The times on the inbox page."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.http.pages import format_time

CALENDAR_LIMITS = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
ZONES = ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin"]


def test_a_time_is_shown_as_in_a_diary_in_the_time_zone_of_the_clinician() -> None:
    assert (
        format_time(datetime(2026, 11, 24, 14, 30, tzinfo=UTC), ZoneInfo("Europe/Berlin")) == "Tue 24 Nov 2026, 15:30"
    )


@pytest.mark.parametrize("zone", ZONES)
@given(moment=st.datetimes(timezones=st.just(UTC)) | st.sampled_from(CALENDAR_LIMITS))
def test_any_time_can_be_shown(moment: datetime, zone: str) -> None:
    assert format_time(moment, ZoneInfo(zone))
