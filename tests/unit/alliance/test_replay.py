"""What a backtest says of two policies on the same history."""

from datetime import timedelta
from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from services.alliance.domain.fold import read_again
from services.alliance.domain.policy.policy import DEFAULT, Policy
from services.alliance.domain.state.history import Fact
from services.alliance.domain.tuning.replay import NEVER, Raised, compare, replay, week_of, weeks
from tests.support.builders import BEGINNING, Told
from tests.unit.alliance.test_fold import TOLD, histories

STRICT = Policy(concern=0.98, urgent=0.99)


def falls(*ratings: float) -> list[Fact]:
    events: list[Fact] = [TOLD.started(), TOLD.consent(-0.5, given=True)]
    return events + [
        event for week, rating in enumerate(ratings) for event in (TOLD.held(week), TOLD.felt(week, rating))
    ]


def test_an_episode_is_raised_when_it_comes_to_be_of_concern_and_lasts_until_it_is_repaired() -> None:
    events = falls(9, 9, 9, 9, 2, 9, 9, 9)

    (episode,) = replay(events, DEFAULT)

    assert (episode.at, episode.until) == (TOLD.felt(4).occurred_at, TOLD.felt(6).occurred_at)
    assert (episode.severity, episode.interrupts) == ("concern", True)
    assert episode.clinician == TOLD.started().clinician_id
    assert "sudden_drop" in episode.detectors


def test_one_that_is_not_repaired_is_open_for_good() -> None:
    assert [episode.until for episode in replay(falls(9, 9, 9, 2), DEFAULT)] == [NEVER]


@given(facts=histories())
def test_the_severity_follows_from_the_peak(facts: list[Fact]) -> None:
    for episode in replay(facts, DEFAULT):
        assert episode.severity == DEFAULT.severity(episode.peak)


def test_nothing_known_raises_nothing() -> None:
    assert replay([], DEFAULT) == []
    assert weeks([]) == set()


@given(facts=histories())
def test_a_replay_ends_with_the_episodes_that_the_fold_ends_with(facts: list[Fact]) -> None:
    replayed = {replayed_episode.episode: replayed_episode for replayed_episode in replay(facts, DEFAULT)}
    result = read_again(facts, DEFAULT)

    assert {episode.id for episode in result.repaired} <= replayed.keys()
    open_ids = {replayed_episode.episode for replayed_episode in replayed.values() if replayed_episode.until == NEVER}
    assert open_ids == ({result.alliance.open.id} if result.alliance.open else set())


@given(facts=histories())
def test_the_same_policy_changes_nothing(facts: list[Fact]) -> None:
    episodes = replay(facts, DEFAULT)

    assert [(change.old, change.new) for change in compare(episodes, episodes)] == [
        (episode, episode) for episode in episodes
    ]


@given(facts=histories(), concern=st.floats(0.1, 0.9))
def test_what_is_raised_less_what_is_not_any_more_is_the_difference(facts: list[Fact], concern: float) -> None:
    old, new = replay(facts, DEFAULT), replay(facts, Policy(concern=concern, urgent=0.95))
    kinds = [change.kind for change in compare(old, new)]

    before, after = sum(episode.interrupts for episode in old), sum(episode.interrupts for episode in new)
    assert after - before == kinds.count("raised") - kinds.count("no longer raised")


SPANS = st.lists(st.integers(1, 50), unique=True, max_size=12).map(sorted)


@given(old=SPANS, new=SPANS)
def test_every_episode_is_told_once_and_both_ways_round_alike(old: list[int], new: list[int]) -> None:
    left, right = spans(old), spans(new)

    forward = [(change.old, change.new) for change in compare(left, right)]
    backward = [(change.new, change.old) for change in compare(right, left)]

    assert [episode for episode, _ in forward if episode] == left
    assert [episode for _, episode in forward if episode] == right
    assert set(forward) == set(backward)


def spans(bounds: list[int]) -> list[Raised]:
    """Episodes that follow each other, from each first bound to the next."""
    return [
        Raised(
            TOLD.relationship,
            None,
            uuid5(TOLD.relationship, f"{since} to {until}"),
            BEGINNING + timedelta(days=since),
            BEGINNING + timedelta(days=since),
            BEGINNING + timedelta(days=until),
            "concern",
            0.6,
            (),
        )
        for since, until in zip(bounds[::2], bounds[1::2], strict=False)
    ]


def test_an_earlier_sign_of_the_same_rupture_is_the_same_rupture() -> None:
    events = falls(9, 9, 9, 9, 6, 2, 2)
    old, new = replay(events, STRICT), replay(events, Policy(concern=0.2))

    assert old
    assert new[0].at < old[0].at
    assert [change.kind for change in compare(old, new)] == ["raised as before"]


def test_a_higher_threshold_raises_less() -> None:
    events = falls(9, 9, 9, 9, 2, 9, 9, 9)
    kinds = [change.kind for change in compare(replay(events, DEFAULT), replay(events, STRICT))]

    assert kinds == ["no longer raised"]


def test_a_week_is_one_in_which_there_was_an_appointment() -> None:
    builder = Told(UUID(int=5))
    events: list[Fact] = [builder.started(), builder.held(0), builder.felt(0), builder.missed(1), builder.felt(2)]

    assert {week for _, week in weeks(events)} == {"2026-W02", "2026-W03"}
    assert {clinician for clinician, _ in weeks(events)} == {builder.started().clinician_id}
    assert week_of(BEGINNING - timedelta(days=8)) == "2025-W52"
