"""The pages of the inbox: their times, and where a button leads."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from services.notify.http import pages
from services.notify.http.pages import format_time
from services.notify.service import MAX_PAGE_ALERTS
from shared.events import RelationshipEvent
from tests.support.page_forms import find_forms
from tests.support.rupture_builder import RuptureBuilder
from tests.unit.notify.memory_harness import NOW, InMemoryNotifyHarness

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


@asynccontextmanager
async def open_browser(
    alert_count: int, events: Sequence[RelationshipEvent] = (), event_fields: dict[str, float] | None = None
) -> AsyncIterator[tuple[httpx2.AsyncClient, UUID]]:
    """A browser without JavaScript, and a clinician with as many open alerts; the service also handles `events`."""
    service, clinician_id = InMemoryNotifyHarness(), uuid4()
    builders = [RuptureBuilder(NOW, clinician_id) for _ in range(alert_count)]
    suspected = {s: s.suspected(3).model_copy(update=event_fields) for s in builders}
    await service.projector.handle_batch([e for s in builders for e in (s.started(), suspected[s], s.updated(3, 0))])
    await service.projector.handle_batch(events)
    app = FastAPI()
    app.include_router(pages.routes(service.inbox))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", follow_redirects=True) as client:
        yield client, clinician_id


async def test_the_pages_show_how_often_an_alert_is_right_if_that_is_known() -> None:
    with_probability = {"probability": 0.34, "base_rate": 0.15}
    sentence = "In simulations where 15 of 100 relationships were in rupture, about 1 in 3 alerts like this was right."
    async with open_browser(alert_count=1, event_fields=with_probability) as (client, clinician_id):
        inbox = (await client.get(f"/inbox/{clinician_id}")).text
        buttons = find_forms(inbox)
        await buttons["I take this on"].press(client)
        changed = (await buttons["Done, this was useful"].press(client)).text  # the page is out of date
    async with open_browser(alert_count=1) as (client, clinician_id):
        without = (await client.get(f"/inbox/{clinician_id}")).text

    for page in (inbox, changed):
        assert f'<p class="reliability">{sentence} Not measured on people.</p>' in page
    assert "reliability" not in without


async def test_after_a_button_the_inbox_shows_the_page_on_which_it_was() -> None:
    async with open_browser(alert_count=2 * MAX_PAGE_ALERTS + 1) as (client, clinician_id):
        for number, button in ((1, "I take this on"), (2, "Done, not useful"), (2, "I take this on"), (3, "Undo")):
            page = await client.get(f"/inbox/{clinician_id}?page={number}")
            after = await find_forms(page.text)[button].press(client)
            assert f"page {number} of 3" in after.text


async def test_after_a_button_on_a_page_that_is_gone_the_inbox_shows_the_last_one() -> None:
    async with open_browser(alert_count=MAX_PAGE_ALERTS + 1) as (client, clinician_id):
        button = find_forms((await client.get(f"/inbox/{clinician_id}?page=2")).text)["I take this on"]
        shown = await replace(button, fields={**button.fields, "page": "3"}).press(client)

    assert "page 2 of 2" in shown.text


async def test_a_button_that_was_not_done_leads_back_to_its_page() -> None:
    async with open_browser(alert_count=MAX_PAGE_ALERTS + 1) as (client, clinician_id):
        buttons = find_forms((await client.get(f"/inbox/{clinician_id}?page=2")).text)
        await buttons["I take this on"].press(client)
        changed = await buttons["Done, this was useful"].press(client)  # the page is out of date
        after_button = await find_forms(changed.text)["Undo"].press(client)

    assert changed.status_code == 409
    assert f'<a href="/inbox/{clinician_id}?page=2">Back to your inbox</a>' in changed.text
    assert "page 2 of 2" in after_button.text
