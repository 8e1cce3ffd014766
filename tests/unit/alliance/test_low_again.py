"""After a resolved alert, the client's first rating that is as low as then opens another episode."""

from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, Episode
from services.alliance.domain.state.history import HistoryEvent
from tests.unit.alliance.rated_relationship import BUILDER, START_EVENTS, fold_events, open_episode, rated_sessions

UNREACHABLE = Policy(concern=0.9998, urgent=0.9999)
"""No probability opens an episode under this policy."""
LOW = rated_sessions(*[9.0] * 4, 3, 3)
"""The rolling score has fallen below what is low in any relationship; that it stays there is no new sign."""
ABSENT: list[HistoryEvent] = [*rated_sessions(*[9.0] * 8), BUILDER.missed(8), BUILDER.missed(9)]


def fold_unreachable(*events: HistoryEvent) -> Alliance:
    return fold([*START_EVENTS, *events], UNREACHABLE)


def low_episode() -> Episode:
    episode = fold_unreachable(*LOW).open_episode
    assert episode is not None
    return episode


def test_signs_of_after_the_resolution_are_part_of_what_the_low_answer_opens() -> None:
    resolved = BUILDER.resolved(low_episode().id, 5.5)
    hint: list[HistoryEvent] = [
        BUILDER.completed(6),
        BUILDER.feedback(6, 3.2, tension="a_little", talked_about="partly"),
    ]

    assert fold_unreachable(*LOW, resolved, *hint).open_episode is None
    again = fold_unreachable(*LOW, resolved, *hint, *rated_sessions(3, first=7)).open_episode

    assert again is not None
    assert {"told_directly", "low_again"} <= {sign.detector for sign in again.evidence}


def test_the_next_rating_at_the_level_of_the_resolved_episode_opens_another_of_concern() -> None:
    """The probability is far below the threshold: the score stays low, and that is no new sign."""
    episode = low_episode()
    resolved = BUILDER.resolved(episode.id, 5.5)

    again = fold_unreachable(*LOW, resolved, *rated_sessions(3, first=6)).open_episode

    assert (episode.severity, episode.opening_rating) == ("watch", 30)
    assert again is not None
    assert again.id != episode.id
    assert (again.severity, again.opening_rating, again.change_count) == ("concern", 30, 0)
    assert again.first_sign_at == BUILDER.feedback(6).occurred_at
    assert [(sign.detector, sign.numbers) for sign in again.evidence if sign.detector == "low_again"] == [
        ("low_again", {"rating": 30, "level": 30, "session": 7})
    ]
    higher = [*LOW, resolved, *rated_sessions(3.5, 4, first=6)]
    assert fold_unreachable(*higher).open_episode is None
    assert fold_unreachable(*higher, *rated_sessions(3, first=8)).open_episode is not None, (
        "the first one, however late"
    )


def test_the_level_opens_one_episode_and_each_resolution_sets_it_again() -> None:
    resolved = BUILDER.resolved(low_episode().id, 5.5)
    events = [*LOW, resolved, *rated_sessions(2, first=6)]
    second = fold_unreachable(*events).open_episode
    assert second is not None

    ended = fold_unreachable(*events, BUILDER.resolved(second.id, 6.5))

    assert fold_unreachable(*events).resolved_level is None
    assert (second.opening_rating, ended.resolved_level) == (20, 20)
    assert (
        fold_unreachable(*events, BUILDER.resolved(second.id, 6.5), *rated_sessions(2.5, first=7)).open_episode is None
    )


def test_an_episode_that_the_low_answer_opens_anyway_is_at_least_of_concern() -> None:
    drop = [*rated_sessions(*[9.0] * 8), BUILDER.completed(8), BUILDER.feedback(8, trust=6)]
    watched = open_episode(drop)
    resolved = BUILDER.resolved(watched.id, 8.5)
    later: list[HistoryEvent] = [BUILDER.completed(9), BUILDER.feedback(9, trust=6)]

    again = open_episode([*drop, resolved, *later])

    assert watched.severity == "watch"
    assert (again.severity, again.change_count) == ("concern", 0)
    assert {sign.detector for sign in again.evidence} == {"element_drop", "low_again"}


def test_a_low_answer_raises_the_episode_that_is_open_already() -> None:
    resolved = BUILDER.resolved(low_episode().id, 5.5)
    absent: list[HistoryEvent] = [BUILDER.missed(6), BUILDER.missed(7)]

    watched = fold_unreachable(*LOW, resolved, *absent).open_episode
    raised = fold_unreachable(*LOW, resolved, *absent, *rated_sessions(3, first=8)).open_episode

    assert watched is not None
    assert raised is not None
    assert (watched.severity, raised.severity, raised.id) == ("watch", "concern", watched.id)


def test_an_episode_without_a_low_rating_leaves_no_level() -> None:
    """The client rated as usual and reported a tension: the next usual rating is no sign."""
    reported: list[HistoryEvent] = [
        *rated_sessions(*[9.0] * 8),
        BUILDER.completed(8),
        BUILDER.feedback(8, tension="yes"),
    ]
    episode = open_episode(reported)
    resolved = BUILDER.resolved(episode.id, 8.5)

    assert episode.opening_rating is None
    assert fold_events([*reported, resolved, *rated_sessions(9, first=9)]).open_episode is None


def test_the_first_low_rating_in_an_episode_that_absence_opened_is_its_level() -> None:
    events = [*ABSENT, *rated_sessions(5, first=10)]

    assert open_episode(ABSENT).opening_rating is None
    assert open_episode(events).opening_rating == 50


def test_a_level_of_before_stays_if_an_episode_without_a_rating_is_resolved_after_it() -> None:
    resolved = BUILDER.resolved(low_episode().id, 5.5)
    events: list[HistoryEvent] = [*LOW, resolved, BUILDER.missed(6), BUILDER.missed(7)]
    absence = fold_unreachable(*events).open_episode
    assert absence is not None

    assert fold_unreachable(*events, BUILDER.resolved(absence.id, 7.5)).resolved_level == 30


def test_after_withdrawn_consent_or_the_end_no_level_opens_an_episode() -> None:
    resolved = BUILDER.resolved(low_episode().id, 5.5)
    consent: list[HistoryEvent] = [BUILDER.consent_changed(5.6, given=False), BUILDER.consent_changed(5.7, given=True)]

    assert fold_unreachable(*LOW, resolved, *consent, *rated_sessions(3, first=6)).open_episode is None
    assert fold_unreachable(*LOW, resolved, BUILDER.ended(5.6), *rated_sessions(3, first=6)).open_episode is None
