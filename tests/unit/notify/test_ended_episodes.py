"""Alerts whose episode ended without a repair or a retraction."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from services.notify.domain.alert import Alert, with_dispositions
from services.notify.domain.routing import notifiable_change
from shared.events import EpisodeEndReason, LevelShift, RelationshipEvent
from tests.support.dispositions import acknowledge, reopen, resolve
from tests.support.page_forms import find_forms
from tests.support.rupture_builder import RuptureBuilder
from tests.unit.notify.histories import NOW, alerts_after, only_alert_after
from tests.unit.notify.test_pages import open_browser

S = RuptureBuilder(NOW)
RAISED = [S.started(), S.suspected(3), S.updated(3, 0)]
OTHER_ENDS: tuple[EpisodeEndReason, ...] = ("level_shift", "superseded", "expired")


def after_resolution(later: Sequence[RelationshipEvent] = (), was_read: bool = False) -> Alert:
    """The alert that was resolved, perhaps after it was acknowledged, and later events of alliance."""
    raised = only_alert_after(RAISED)
    resolved, _ = resolve(acknowledge(raised, NOW)[0] if was_read else raised, None, NOW)
    return with_dispositions(only_alert_after(RAISED, later), resolved.dispositions)


@pytest.mark.parametrize("reason", OTHER_ENDS)
def test_an_alert_whose_episode_has_ended_is_closed_and_says_why(reason: EpisodeEndReason) -> None:
    alert = only_alert_after(RAISED, [S.ended_episode(4, reason), S.updated(4)])

    assert (alert.status, alert.is_active, alert.end_reason) == ("ended", False, reason)
    assert notifiable_change(alert) is None
    assert alert.shown.evidence_version != only_alert_after(RAISED).shown.evidence_version
    resolved, _ = resolve(alert, None, NOW)
    assert (resolved.status, reopen(resolved, NOW)[0].status) == ("resolved", "ended"), "as after any other end"


def test_why_an_episode_ended_is_part_of_what_a_clinician_is_shown() -> None:
    """With the same evidence: a disposition made on a page of before is then rejected as outdated."""
    reasons: tuple[EpisodeEndReason, ...] = ("resolved", *OTHER_ENDS)
    ended = [only_alert_after(RAISED, [S.ended_episode(4, reason)]) for reason in reasons]

    assert all(alert.episode.evidence == ended[0].episode.evidence for alert in ended)
    assert len({alert.shown.evidence_version for alert in ended}) == len(reasons)


def test_a_superseded_alert_leaves_its_place_to_the_next_one() -> None:
    alerts = alerts_after(RAISED, [S.ended_episode(4, "superseded"), S.suspected(4, episode=1), S.updated(4, 1)])

    assert {number: alerts[S.alert_id(number)].status for number in (0, 1)} == {0: "ended", 1: "open"}
    assert alerts[S.alert_id(0)].episode.superseded_by == S.episode_id(1)


def test_the_end_by_a_resolution_changes_nothing_about_a_resolved_alert() -> None:
    """A page that was opened before does not become outdated by it."""
    ended = [S.ended_episode(4, "resolved", days_ago=1), S.updated(4)]

    after = after_resolution(ended)

    assert (after.status, after.end_reason, after.shown) == ("resolved", None, after_resolution().shown)
    assert reopen(after, NOW)[0].status == "open"
    assert reopen(after_resolution(ended, was_read=True), NOW)[0].status == "acknowledged"


def test_signs_that_the_clinician_had_not_seen_keep_the_alert_open() -> None:
    """They occurred before the resolution and were recorded after it: nothing else would say so."""
    alert = after_resolution([S.ended_episode(4, "resolved", severity="urgent"), S.updated(4)])

    assert (alert.status, alert.severity, notifiable_change(alert)) == ("open", "urgent", "rose")
    assert acknowledge(alert, NOW)[0].status == "acknowledged"
    assert resolve(alert, None, NOW)[0].status == "resolved"


def test_after_a_resolution_was_taken_back_the_episode_goes_on() -> None:
    ended = [S.ended_episode(4, "resolved"), S.updated(4)]

    assert reopen(after_resolution([*ended, S.changed(5), S.updated(5, 0)]), NOW)[0].status == "open"
    assert reopen(after_resolution([*ended, S.repaired(5), S.updated(5)]), NOW)[0].status == "repaired"


def test_a_version_that_skips_the_event_closes_the_alert_until_the_end_is_published_again() -> None:
    """It sees that the alliance no longer names the episode; a rebuild of alliance publishes the end once more."""
    skipped = [S.updated(4)]

    assert only_alert_after(RAISED, skipped).status == "retracted"
    assert after_resolution(skipped).status == "resolved"
    for reason in OTHER_ENDS:
        assert only_alert_after(RAISED, skipped, [S.ended_episode(5, reason), S.updated(5)]).status == "ended"


@pytest.mark.parametrize("reason", OTHER_ENDS)
def test_an_older_version_reads_an_ended_episode_as_retracted(reason: EpisodeEndReason) -> None:
    stored = only_alert_after(RAISED, [S.ended_episode(4, reason), S.updated(4)]).episode

    assert (stored.status, stored.end_reason) == ("retracted", None)


def test_of_an_ended_alert_whose_client_withdrew_consent_only_that_reason_remains() -> None:
    ended = [S.ended_episode(4, "superseded"), S.updated(4)]

    alert = only_alert_after([*RAISED, S.consent_given()], ended, [S.consent_withdrawn()])

    assert (alert.status, alert.end_reason, alert.episode.superseded_by) == ("retracted", "consent_withdrawn", None)


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        ("lower", "Not repaired: lower since 28 February"),
        (None, "Not repaired: lower since 28 February"),
        ("higher", "Higher since 28 February"),
    ],
)
async def test_a_level_shift_is_shown_among_the_closed_alerts_and_never_as_a_repair(
    shift: LevelShift | None, expected: str
) -> None:
    events = [*RAISED, S.ended_episode(4, "level_shift", shift=shift), S.updated(4)]
    async with open_browser(0, events) as (client, _):
        page = (await client.get(f"/inbox/{S.clinician_id}")).text
        closed = page.split("<summary>Closed (1)")[1]

    assert S.suspected(3).first_sign_at == NOW - timedelta(days=2)
    assert expected in closed
    assert "back to what is usual" not in page
    assert "Withdrawn" not in page
    assert "Done, this was useful" in find_forms(closed)


async def test_a_superseded_alert_says_that_a_new_one_stands_in_its_place() -> None:
    later = [S.ended_episode(4, "superseded"), S.suspected(4, episode=1), S.updated(4, 1)]
    async with open_browser(0, [*RAISED, *later]) as (client, _):
        page = (await client.get(f"/inbox/{S.clinician_id}")).text

    assert "A new alert stands in its place" in page.split("<summary>Closed (1)")[1]


async def test_an_expired_alert_says_that_the_client_has_not_answered_for_long() -> None:
    """Perhaps the client has answered since the last sign: that is not said."""
    async with open_browser(0, [*RAISED, S.ended_episode(4, "expired"), S.updated(4)]) as (client, _):
        page = (await client.get(f"/inbox/{S.clinician_id}")).text

    closed = page.split("<summary>Closed (1)")[1]
    assert "Not repaired, as far as is known: the client has not answered for long" in closed
