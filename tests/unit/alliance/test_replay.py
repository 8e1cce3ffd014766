"""Replaying a history under two policies, and comparing the episodes."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alliance.domain.detection.components import rupture_probability
from services.alliance.domain.fold import fold_steps, refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policy
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.domain.tuning.replay import (
    NEVER,
    EpisodeChange,
    ReplayedEpisode,
    appointment_weeks,
    compare_episodes,
    iso_week,
    replay_episodes,
)
from shared.events import Severity
from tests.support.builders import FIRST_SESSION_AT, RelationshipBuilder
from tests.unit.alliance.histories import BUILDER, histories

STRICT_POLICY = Policy(watch=0.97, concern=0.98, urgent=0.99)


def rated_history(*ratings: float) -> list[HistoryEvent]:
    events: list[HistoryEvent] = [BUILDER.started(), BUILDER.consent_changed(-0.5, given=True)]
    return events + [
        event
        for week, rating in enumerate(ratings)
        for event in (BUILDER.completed(week), BUILDER.feedback(week, rating))
    ]


def test_an_episode_is_raised_when_it_becomes_of_concern_and_ends_when_it_is_repaired() -> None:
    events = rated_history(9, 9, 9, 9, 2, 9, 9, 9)

    (episode,) = replay_episodes(events, DEFAULT_POLICY)

    assert (episode.raised_at, episode.ended_at) == (BUILDER.feedback(4).occurred_at, BUILDER.feedback(6).occurred_at)
    assert (episode.severity, episode.is_alert) == ("concern", True)
    assert episode.clinician == BUILDER.started().clinician_id
    assert "sudden_drop" in episode.detectors


def test_an_episode_that_was_only_watched_at_first_is_raised_by_a_later_sign() -> None:
    tense = BUILDER.feedback(4, 9, tension="a_little", talked_about="not")
    events = [*rated_history(9, 9, 9, 9), BUILDER.completed(4), tense, BUILDER.completed(5), BUILDER.feedback(5, 2)]

    (episode,) = replay_episodes(events, DEFAULT_POLICY)
    (watched,) = replay_episodes(events[:-2], DEFAULT_POLICY)

    assert (episode.first_sign_at, episode.raised_at) == (tense.occurred_at, BUILDER.feedback(5).occurred_at)
    assert (watched.severity, watched.is_alert, watched.raised_at) == ("watch", False, tense.occurred_at)


def test_an_episode_that_is_never_repaired_never_ends() -> None:
    assert [episode.ended_at for episode in replay_episodes(rated_history(9, 9, 9, 2), DEFAULT_POLICY)] == [NEVER]


@given(events=histories())
def test_the_severity_follows_from_the_peak_probability_unless_a_rating_is_very_low_or_low_again(
    events: list[HistoryEvent],
) -> None:
    for episode in replay_episodes(events, DEFAULT_POLICY):
        by_probability = DEFAULT_POLICY.severity(episode.peak_probability)
        is_low = by_probability == "watch" and not {"at_floor", "low_again"}.isdisjoint(episode.detectors)
        assert episode.severity == ("concern" if is_low else by_probability)


def test_an_empty_history_has_no_episodes_and_no_weeks() -> None:
    assert replay_episodes([], DEFAULT_POLICY) == []
    assert appointment_weeks([]) == set()


@given(events=histories())
def test_a_replay_ends_with_the_same_episodes_as_the_fold(events: list[HistoryEvent]) -> None:
    replayed = {
        replayed_episode.episode_id: replayed_episode for replayed_episode in replay_episodes(events, DEFAULT_POLICY)
    }
    result = refold(events, DEFAULT_POLICY)

    assert {episode.id for episode in result.repaired_episodes} <= replayed.keys()
    open_ids = {
        replayed_episode.episode_id for replayed_episode in replayed.values() if replayed_episode.ended_at == NEVER
    }
    assert open_ids == ({result.alliance.open_episode.id} if result.alliance.open_episode else set())


@given(events=histories())
def test_the_same_policy_changes_nothing(events: list[HistoryEvent]) -> None:
    episodes = replay_episodes(events, DEFAULT_POLICY)

    assert [(change.old, change.new) for change in compare_episodes(episodes, episodes)] == [
        (episode, episode) for episode in episodes
    ]


@given(events=histories(), concern=st.floats(DEFAULT_POLICY.watch, 0.9))
def test_raised_minus_no_longer_raised_is_the_difference_in_alerts(events: list[HistoryEvent], concern: float) -> None:
    old, new = replay_episodes(events, DEFAULT_POLICY), replay_episodes(events, Policy(concern=concern, urgent=0.95))
    kinds = [change.kind for change in compare_episodes(old, new)]

    before, after = sum(episode.is_alert for episode in old), sum(episode.is_alert for episode in new)
    assert after - before == kinds.count("raised") - kinds.count("no longer raised")


SORTED_BOUNDS = st.lists(st.integers(1, 50), unique=True, max_size=12).map(sorted)


@given(old=SORTED_BOUNDS, new=SORTED_BOUNDS)
def test_a_comparison_contains_every_episode_once_and_is_symmetric(old: list[int], new: list[int]) -> None:
    left, right = consecutive_episodes(old), consecutive_episodes(new)

    forward = [(change.old, change.new) for change in compare_episodes(left, right)]
    backward = [(change.new, change.old) for change in compare_episodes(right, left)]

    assert [episode for episode, _ in forward if episode] == left
    assert [episode for _, episode in forward if episode] == right
    assert set(forward) == set(backward)


def consecutive_episodes(bounds: list[int]) -> list[ReplayedEpisode]:
    """Consecutive episodes, each from one bound to the next."""
    return [
        ReplayedEpisode(
            BUILDER.relationship_id,
            None,
            uuid5(BUILDER.relationship_id, f"{since} to {until}"),
            FIRST_SESSION_AT + timedelta(days=since),
            FIRST_SESSION_AT + timedelta(days=since),
            FIRST_SESSION_AT + timedelta(days=until),
            "concern",
            0.6,
            (),
        )
        for since, until in zip(bounds[::2], bounds[1::2], strict=False)
    ]


def test_two_episodes_are_the_same_rupture_only_if_they_overlap() -> None:
    first, second, third = consecutive_episodes([1, 5, 7, 9, 12, 15])
    (overlapping,) = consecutive_episodes([4, 7])

    assert compare_episodes([first, third], [second]) == [
        EpisodeChange(first, None),
        EpisodeChange(None, second),
        EpisodeChange(third, None),
    ]
    assert compare_episodes([first], [overlapping]) == [EpisodeChange(first, overlapping)]
    assert compare_episodes([overlapping], [second]) == [EpisodeChange(overlapping, second)]
    assert compare_episodes([], [second]) == [EpisodeChange(None, second)]


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (None, "watch", "watched"),
        (None, "concern", "raised"),
        ("watch", None, "no longer watched"),
        ("watch", "watch", "watched as before"),
        ("watch", "urgent", "raised"),
        ("urgent", None, "no longer raised"),
        ("concern", "watch", "no longer raised"),
        ("concern", "urgent", "raised as before"),
    ],
)
def test_a_change_is_named_by_whether_the_clinician_is_alerted(
    old: Severity | None, new: Severity | None, kind: str
) -> None:
    (episode,) = consecutive_episodes([1, 5])
    before, after = (replace(episode, severity=severity) if severity else None for severity in (old, new))

    change = EpisodeChange(before, after)

    assert (change.kind, change.latest) == (kind, after or before)


def test_an_episode_belongs_to_the_week_in_which_its_clinician_was_alerted() -> None:
    (episode,) = replay_episodes(rated_history(9, 9, 9, 9, 2), DEFAULT_POLICY)

    assert episode.week == (BUILDER.started().clinician_id, "2026-W06")


def test_an_episode_that_ended_with_the_relationship_ended_then() -> None:
    events = [*rated_history(9, 9, 9, 9, 2), BUILDER.ended(6)]

    assert [episode.ended_at for episode in replay_episodes(events, DEFAULT_POLICY)] == [BUILDER.at(6)]


def test_the_peak_is_the_highest_probability_at_a_sign() -> None:
    events = rated_history(9, 9, 9, 9, 2, 4)
    alliances = [
        after for event, _, after in fold_steps(events, DEFAULT_POLICY) if event.type == BUILDER.feedback(0).type
    ]

    (episode,) = replay_episodes(events, DEFAULT_POLICY)

    base_rate = DEFAULT_POLICY.base_rate
    assert episode.peak_probability == max(rupture_probability(a.components, base_rate) for a in alliances)


def test_an_earlier_sign_of_the_same_rupture_is_the_same_rupture() -> None:
    events = rated_history(9, 9, 9, 9, 6, 5, 5)
    old, new = replay_episodes(events, Policy(watch=0.6, concern=0.6, urgent=0.6)), replay_episodes(events, Policy())

    assert old
    assert new[0].raised_at < old[0].raised_at
    assert [change.kind for change in compare_episodes(old, new)] == ["raised as before"]


def test_a_higher_threshold_raises_fewer_alerts() -> None:
    events = rated_history(9, 9, 9, 9, 5, 9, 9, 9)
    kinds = [
        change.kind
        for change in compare_episodes(replay_episodes(events, DEFAULT_POLICY), replay_episodes(events, STRICT_POLICY))
    ]

    assert kinds == ["no longer raised"]


def test_only_weeks_with_an_appointment_are_counted() -> None:
    builder = RelationshipBuilder(UUID(int=5))
    events: list[HistoryEvent] = [
        builder.started(),
        builder.completed(0),
        builder.feedback(0),
        builder.missed(1),
        builder.feedback(2),
    ]

    assert {week for _, week in appointment_weeks(events)} == {"2026-W02", "2026-W03"}
    assert {clinician for clinician, _ in appointment_weeks(events)} == {builder.started().clinician_id}
    assert iso_week(FIRST_SESSION_AT - timedelta(days=8)) == "2025-W52"
