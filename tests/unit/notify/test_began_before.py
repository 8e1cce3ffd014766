"""Alerts whose episode had begun long before it was raised, and alerts that other rules no longer raise."""

from datetime import timedelta

import pytest

from services.notify.domain import texts
from services.notify.domain.alert import alert_id
from shared.events import RuptureEvent
from tests.support.notify_harness import EMAIL_ADDRESS
from tests.support.rupture_builder import RuptureBuilder
from tests.unit.notify.histories import only_alert_after
from tests.unit.notify.memory_harness import NOW, InMemoryNotifyHarness
from tests.unit.notify.test_pages import open_browser

S = RuptureBuilder(NOW)


def since(event: RuptureEvent, first_sign_days_ago: float) -> RuptureEvent:
    """The event about an episode that began so long ago."""
    return event.model_copy(update={"first_sign_at": NOW - timedelta(days=first_sign_days_ago)})


FOUND_LATER = [S.started(), since(S.changed(3, days_ago=1), 30), S.updated(3, 0)]


async def test_an_episode_that_is_found_later_stands_in_the_inbox_once_marked_as_begun_before() -> None:
    async with open_browser(0, [*FOUND_LATER, *FOUND_LATER]) as (client, _):
        page = (await client.get(f"/inbox/{S.clinician_id}")).text

    assert page.count("<article") == 1
    assert page.count(texts.BEGAN_BEFORE) == 1


async def test_the_api_says_that_an_episode_began_before() -> None:
    service = InMemoryNotifyHarness()
    await service.projector.handle_batch(FOUND_LATER)

    assert (await service.inbox.get_alert(alert_id(S.episode_id()))).began_before


@pytest.mark.parametrize("is_reversed", [False, True])
def test_an_alert_that_was_raised_in_time_did_not_begin_before(is_reversed: bool) -> None:
    """Its episode goes on for weeks, and rises; the order of arrival does not matter."""
    events = [since(S.suspected(3, "watch", days_ago=30), 30), since(S.changed(4, "urgent"), 30)]

    alert = only_alert_after([S.started(), *(reversed(events) if is_reversed else events), S.updated(4, 0)])

    assert alert.raised_at == alert.episode.first_sign_at
    assert not alert.began_before


def test_signs_of_two_sessions_that_arrive_together_did_not_begin_before() -> None:
    alert = only_alert_after([S.started(), since(S.changed(3, days_ago=1), 8.2), S.updated(3, 0)])

    assert not alert.began_before


async def test_an_old_sign_that_is_found_later_is_not_sent() -> None:
    """As after a change of the policy or of the model: what it finds in the history stands in the inbox only."""
    service = InMemoryNotifyHarness()
    await service.planner.update_channels(S.clinician_id, EMAIL_ADDRESS)

    await service.projector.handle_batch([S.started(), since(S.changed(3, days_ago=8), 30), S.updated(3, 0)])

    assert await service.statuses(S.clinician_id) == [("concern", "open")]
    assert await service.due_count() == 0


async def test_an_alert_that_other_rules_no_longer_raise_says_that_nothing_supports_it() -> None:
    raised = [S.started(), S.suspected(3), S.updated(3, 0)]
    async with open_browser(0, [*raised, S.updated(4)]) as (client, _):
        page = (await client.get(f"/inbox/{S.clinician_id}")).text

    assert texts.STATUS["retracted"] in page
    assert texts.BEGAN_BEFORE not in page
