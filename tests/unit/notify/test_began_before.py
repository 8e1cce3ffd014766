"""Alerts that were found in retrospect or had begun long before, and alerts that other rules no longer raise."""

from datetime import timedelta

import pytest

from services.notify.domain import texts
from services.notify.domain.alert import alert_id
from services.notify.domain.routing import notifiable_change
from shared.events import RuptureEvent, Severity
from tests.support.notify_harness import EMAIL_ADDRESS
from tests.support.rupture_builder import RuptureBuilder
from tests.unit.notify.histories import only_alert_after
from tests.unit.notify.memory_harness import NOW, InMemoryNotifyHarness
from tests.unit.notify.test_pages import open_browser

S = RuptureBuilder(NOW)


def since(event: RuptureEvent, first_sign_days_ago: float) -> RuptureEvent:
    """The event about an episode that began so long ago."""
    return event.model_copy(update={"first_sign_at": NOW - timedelta(days=first_sign_days_ago)})


def in_retrospect(event: RuptureEvent) -> RuptureEvent:
    """The event as a rebuild or a change of the policy publishes it."""
    return event.model_copy(update={"retrospective": True, "recorded_at": event.last_sign_at})


async def service_with_channel() -> InMemoryNotifyHarness:
    service = InMemoryNotifyHarness()
    await service.planner.update_channels(None, S.clinician_id, EMAIL_ADDRESS)
    await service.projector.handle_batch([S.started()])
    return service


FOUND_LATER = [S.started(), since(S.changed(3, days_ago=1), 30), S.updated(3, 0)]


async def test_an_episode_that_is_found_later_stands_in_the_inbox_once_marked_as_begun_before() -> None:
    async with open_browser(0, [*FOUND_LATER, *FOUND_LATER]) as (client, _):
        page = (await client.get(f"/inbox/{S.clinician_id}")).text

    assert page.count("<article") == 1
    assert page.count(texts.BEGAN_BEFORE) == 1


async def test_the_api_says_that_an_episode_began_before() -> None:
    service = InMemoryNotifyHarness()
    await service.projector.handle_batch(FOUND_LATER)

    assert (await service.inbox.get_alert(None, alert_id(S.episode_id()))).began_before


@pytest.mark.parametrize("is_reversed", [False, True])
def test_an_alert_that_was_raised_in_time_did_not_begin_before(is_reversed: bool) -> None:
    """Its episode goes on for weeks, and rises; the order of arrival does not matter."""
    events = [since(S.suspected(3, "watch", days_ago=30), 30), since(S.changed(4, "urgent"), 30)]

    alert = only_alert_after([S.started(), *(reversed(events) if is_reversed else events), S.updated(4, 0)])

    assert alert.raised_at == alert.episode.first_sign_at
    assert not alert.began_before


@pytest.mark.parametrize(("first_sign_days_ago", "began_before"), [(8.2, False), (11, False), (11.1, True)])
def test_an_alert_began_before_if_its_first_sign_is_more_than_ten_days_older(
    first_sign_days_ago: float, began_before: bool
) -> None:
    """The signs of two weekly sessions may arrive together, which is no reason to mark the alert."""
    alert = only_alert_after([S.started(), since(S.changed(3, days_ago=1), first_sign_days_ago), S.updated(3, 0)])

    assert alert.began_before == began_before


async def test_an_old_sign_that_is_found_later_is_not_sent() -> None:
    """As after a change of the policy or of the model: what it finds in the history stands in the inbox only."""
    service = InMemoryNotifyHarness()
    await service.planner.update_channels(None, S.clinician_id, EMAIL_ADDRESS)

    await service.projector.handle_batch([S.started(), since(S.changed(3, days_ago=8), 30), S.updated(3, 0)])

    assert await service.statuses(S.clinician_id) == [("concern", "open")]
    assert await service.due_count() == 0


async def test_a_sign_of_yesterday_that_is_found_in_retrospect_stands_in_the_inbox_marked_and_is_not_sent() -> None:
    found = [S.started(), in_retrospect(S.suspected(3, days_ago=1)), S.updated(3, 0)]
    service = await service_with_channel()
    await service.projector.handle_batch([*found, *found])
    await service.planner.plan_missing()

    assert await service.statuses(S.clinician_id) == [("concern", "open")]
    assert (await service.inbox.get_alert(None, alert_id(S.episode_id()))).began_before
    assert {severity for _, severity in service.raised_alerts()} == {"concern"}
    assert await service.due_count() == 0
    async with open_browser(0, found) as (client, _):
        page = (await client.get(f"/inbox/{S.clinician_id}")).text
    assert page.count(texts.BEGAN_BEFORE) == 1


@pytest.mark.parametrize("severity", ["concern", "urgent"])
async def test_the_next_sign_of_an_alert_that_was_found_in_retrospect_is_sent(severity: Severity) -> None:
    """Not what merely repeats the signs that were found."""
    service = await service_with_channel()
    await service.projector.handle_batch([in_retrospect(S.suspected(3, days_ago=1)), S.updated(3, 0)])
    await service.projector.handle_batch([in_retrospect(S.suspected(4, days_ago=1)), S.updated(4, 0)])
    assert await service.due_count() == 0

    await service.projector.handle_batch([S.changed(5, severity), S.updated(5, 0)])

    assert await service.due_count() == 1
    assert (await service.inbox.get_alert(None, alert_id(S.episode_id()))).began_before


async def test_what_was_published_again_by_a_rebuild_changes_nothing_about_an_alert() -> None:
    """As after the loss of alliance's database: the message that is due is still sent, once."""
    service = await service_with_channel()
    await service.projector.handle_batch([S.suspected(3), S.updated(3, 0)])
    before = await service.inbox.get_alert(None, alert_id(S.episode_id()))

    await service.projector.handle_batch([in_retrospect(S.suspected(4)), S.updated(4, 0)])

    after = await service.inbox.get_alert(None, alert_id(S.episode_id()))
    assert after == before.model_copy(update={"version": 4})
    assert not before.began_before
    assert await service.due_count() == 1


async def test_a_severity_that_an_alert_reaches_in_retrospect_is_shown_and_not_sent() -> None:
    service = await service_with_channel()
    await service.projector.handle_batch([S.suspected(3, "watch"), S.updated(3, 0)])

    await service.projector.handle_batch([in_retrospect(S.changed(4, "urgent")), S.updated(4, 0)])

    assert await service.statuses(S.clinician_id) == [("urgent", "open")]
    assert await service.due_count() == 0
    assert not (await service.inbox.get_alert(None, alert_id(S.episode_id()))).began_before, "it was raised in time"


async def test_the_delay_of_an_alert_that_was_found_in_retrospect_is_not_measured() -> None:
    service = await service_with_channel()

    await service.projector.handle_batch([in_retrospect(S.suspected(3, days_ago=0.1)), S.updated(3, 0)])

    name, labels = "attune_notify_alert_latency_seconds_count", {"severity": "concern"}
    assert not service.registry.get_sample_value(name, labels)
    assert service.registry.get_sample_value("attune_notify_alerts_raised_total", labels) == 1


@pytest.mark.parametrize("is_reversed", [False, True])
def test_of_one_version_a_sign_that_was_not_found_in_retrospect_counts(is_reversed: bool) -> None:
    events = [in_retrospect(S.suspected(3)), S.suspected(3)]

    alert = only_alert_after([S.started(), *(reversed(events) if is_reversed else events), S.updated(3, 0)])

    assert notifiable_change(alert) == "raised"
    assert not alert.began_before


async def test_an_alert_that_other_rules_no_longer_raise_says_that_nothing_supports_it() -> None:
    raised = [S.started(), S.suspected(3), S.updated(3, 0)]
    async with open_browser(0, [*raised, S.updated(4)]) as (client, _):
        page = (await client.get(f"/inbox/{S.clinician_id}")).text

    assert texts.STATUS["retracted"] in page
    assert texts.BEGAN_BEFORE not in page
