"""A clinician's resolution of an alert ends its episode, and never lowers the weight of what the client says later."""

from itertools import permutations

import pytest

from services.alliance.domain.detection.components import START
from services.alliance.domain.fold import FoldResult, fold, fold_forward, refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policy
from services.alliance.domain.presentation.summary import summarize
from services.alliance.domain.state.alliance import Alliance, Episode
from services.alliance.domain.state.fast_replace import replace
from services.alliance.domain.state.history import HistoryEvent
from shared.events import Severity
from tests.unit.alliance.rated_relationship import BUILDER, START_EVENTS, fold_events, open_episode, rated_sessions

RUPTURED = rated_sessions(*[9.0] * 8, 5.0)
EPISODE = open_episode(RUPTURED)
RESOLVED = BUILDER.resolved(EPISODE.id, 8.5, "talked_about")
UNREACHABLE = Policy(watch=0.9997, concern=0.9998, urgent=0.9999)
"""No probability opens an episode under this policy."""
LOW: list[HistoryEvent] = [
    *rated_sessions(*[9.0] * 4, 5),
    BUILDER.completed(5),
    BUILDER.feedback(5, 5, tension="yes", talked_about="not"),
]
"""The client reports a tension, which is worth watching at any probability, with a low rating above the floor."""


def without_traces(alliance: Alliance) -> Alliance:
    """The alliance without which events and corrections are known and what ended."""
    known = replace(alliance, last_event_key=None, last_corrected_at=None, amended_unknown=())
    return replace(known, last_ended=None, last_retraction=None)


def fold_unreachable(*events: HistoryEvent) -> Alliance:
    return fold([*START_EVENTS, *events], UNREACHABLE)


def low_episode() -> Episode:
    episode = fold_unreachable(*LOW).open_episode
    assert episode is not None
    return episode


EPISODES: dict[Severity, list[HistoryEvent]] = {
    "watch": [*rated_sessions(*[9.0] * 8), BUILDER.missed(8), BUILDER.missed(9), BUILDER.missed(10)],
    "concern": RUPTURED,
    "urgent": rated_sessions(*[9.0] * 8, 5, 4.5, 4.2),
}


@pytest.mark.parametrize("severity", EPISODES)
def test_a_resolution_ends_the_open_episode_whatever_its_severity(severity: Severity) -> None:
    events = EPISODES[severity]
    episode = open_episode(events)

    ended = fold_events([*events, BUILDER.resolved(episode.id, 11)])

    assert episode.severity == severity
    assert ended.open_episode is None
    assert ended.last_ended is not None
    assert (ended.last_ended.episode, ended.last_ended.reason, ended.last_ended.at) == (
        episode,
        "resolved",
        BUILDER.at(11),
    )
    assert summarize(ended, DEFAULT_POLICY).since == BUILDER.at(11)


def test_what_was_said_before_the_resolution_opens_nothing_by_itself() -> None:
    ended = fold_events([*RUPTURED, RESOLVED])

    assert (ended.signs, ended.components, ended.client.below_expected_streak) == ((), START, 0)
    assert fold_events([*RUPTURED, RESOLVED, *rated_sessions(8.6, first=9)]).open_episode is None
    assert fold_events([*RUPTURED, *rated_sessions(8.6, first=9)]).open_episode is not None
    assert (
        fold_events([*EPISODES["watch"], BUILDER.resolved(open_episode(EPISODES["watch"]).id, 10.5)]).open_episode
        is None
    )


def test_the_baseline_stays_as_it_was_and_adapts_again() -> None:
    before, ended = fold_events(RUPTURED), fold_events([*RUPTURED, RESOLVED])
    later = fold_events([*RUPTURED, RESOLVED, *rated_sessions(8.6, first=9)])

    assert (ended.client.baseline_weight, ended.client.baseline_total) == (
        before.client.baseline_weight,
        before.client.baseline_total,
    )
    assert later.client.baseline_weight > before.client.baseline_weight + 0.5


@pytest.mark.parametrize("kind", ["another episode", "before it opened", "after it was repaired"])
def test_a_resolution_of_an_episode_that_is_not_the_open_one_changes_nothing(kind: str) -> None:
    repaired = [*RUPTURED, *rated_sessions(9, 9, 5, first=9)]
    events, resolved = {
        "another episode": (RUPTURED, BUILDER.resolved(BUILDER.session_id(1), 8.5)),
        "before it opened": (RUPTURED, BUILDER.resolved(EPISODE.id, 7.5)),
        "after it was repaired": (repaired, BUILDER.resolved(EPISODE.id, 11.5)),
    }[kind]

    assert fold_events(events).open_episode is not None
    assert without_traces(fold_events([*events, resolved])) == without_traces(fold_events(events))


def test_the_next_rating_at_the_level_of_the_resolved_episode_opens_another_of_concern() -> None:
    """The probability is far below the threshold."""
    episode = low_episode()
    resolved = BUILDER.resolved(episode.id, 5.5)

    again = fold_unreachable(*LOW, resolved, *rated_sessions(5, first=6)).open_episode

    assert (episode.severity, episode.opening_rating) == ("watch", 50)
    assert again is not None
    assert again.id != episode.id
    assert (again.severity, again.opening_rating, again.change_count) == ("concern", 50, 0)
    assert again.first_sign_at == BUILDER.feedback(6).occurred_at
    assert [(sign.detector, sign.numbers) for sign in again.evidence if sign.detector == "low_again"] == [
        ("low_again", {"rating": 50, "level": 50, "session": 7, "hours_after_session": 2})
    ]
    higher = [*LOW, resolved, *rated_sessions(5.5, 6, first=6)]
    assert fold_unreachable(*higher).open_episode is None
    assert fold_unreachable(*higher, *rated_sessions(5, first=8)).open_episode is not None, (
        "the first one, however late"
    )


def test_the_level_opens_one_episode_and_each_resolution_sets_it_again() -> None:
    resolved = BUILDER.resolved(low_episode().id, 5.5)
    events = [*LOW, resolved, *rated_sessions(4.5, first=6)]
    second = fold_unreachable(*events).open_episode
    assert second is not None

    ended = fold_unreachable(*events, BUILDER.resolved(second.id, 6.5))

    assert fold_unreachable(*events).resolved_level is None
    assert (second.opening_rating, ended.resolved_level) == (45, 45)
    assert (
        fold_unreachable(*events, BUILDER.resolved(second.id, 6.5), *rated_sessions(4.8, first=7)).open_episode is None
    )


def test_an_episode_that_the_low_answer_opens_anyway_is_at_least_of_concern() -> None:
    drop = rated_sessions(*[9.0] * 8, 8)
    watched = open_episode(drop)
    resolved = BUILDER.resolved(watched.id, 8.5)

    again = open_episode([*drop, resolved, *rated_sessions(8, first=9)])

    assert watched.severity == "watch"
    assert (again.severity, again.change_count) == ("concern", 0)
    assert {sign.detector for sign in again.evidence} == {"sudden_drop", "low_again"}


def test_a_low_answer_raises_the_episode_that_is_open_already() -> None:
    resolved = BUILDER.resolved(low_episode().id, 5.5)
    reported: list[HistoryEvent] = [BUILDER.completed(7), BUILDER.feedback(7, 9, tension="yes", talked_about="not")]

    watched = fold_unreachable(*LOW, resolved, *reported).open_episode
    raised = fold_unreachable(*LOW, resolved, *reported, *rated_sessions(5, first=8)).open_episode

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
    events = [*EPISODES["watch"], *rated_sessions(5, first=11)]

    assert open_episode(EPISODES["watch"]).opening_rating is None
    assert open_episode(events).opening_rating == 50


def test_a_level_of_before_stays_if_an_episode_without_a_rating_is_resolved_after_it() -> None:
    resolved = BUILDER.resolved(low_episode().id, 5.5)
    reported: list[HistoryEvent] = [BUILDER.completed(6), BUILDER.feedback(6, 9, tension="yes", talked_about="not")]
    events = [*LOW, resolved, *reported]
    second = fold_unreachable(*events).open_episode
    assert second is not None

    assert fold_unreachable(*events, BUILDER.resolved(second.id, 7.5)).resolved_level == 50


def test_after_withdrawn_consent_or_the_end_no_level_opens_an_episode() -> None:
    resolved = BUILDER.resolved(low_episode().id, 5.5)
    consent: list[HistoryEvent] = [BUILDER.consent_changed(5.6, given=False), BUILDER.consent_changed(5.7, given=True)]

    assert fold_unreachable(*LOW, resolved, *consent, *rated_sessions(5, first=6)).open_episode is None
    assert fold_unreachable(*LOW, resolved, BUILDER.ended(5.6), *rated_sessions(5, first=6)).open_episode is None


def test_a_direct_report_after_the_resolution_counts_as_if_there_had_been_no_alert() -> None:
    report: list[HistoryEvent] = [BUILDER.completed(9), BUILDER.feedback(9, tension="yes", talked_about="not")]

    after_resolution = open_episode([*RUPTURED, RESOLVED, *report])
    without_alert = open_episode([*rated_sessions(*[9.0] * 9), *report])

    reports = [
        [sign for sign in e.evidence if sign.detector == "told_directly"] for e in (after_resolution, without_alert)
    ]
    assert reports[0] == reports[1] != []


def test_an_answer_after_the_resolution_about_a_session_of_before_it_counts_in_full() -> None:
    """The session had begun, so the probability does not decay towards the base rate once more."""
    answer = BUILDER.feedback(9, 4)
    resolved = BUILDER.resolved(EPISODE.id, 9.001)
    assert BUILDER.completed(9).occurred_at < resolved.occurred_at < answer.occurred_at

    alliance = fold([*START_EVENTS, *RUPTURED, BUILDER.completed(9), resolved, answer], DEFAULT_POLICY)

    assert alliance.open_episode is not None
    assert alliance.open_episode.severity != "watch"


def test_a_resolution_that_was_taken_back_was_never_made_whichever_arrives_first() -> None:
    later = rated_sessions(8, 5, first=9)
    back = BUILDER.taken_back(RESOLVED, 10.5)
    never = fold_events([*RUPTURED, *later])

    for order in permutations([RESOLVED, back, later[0], later[1]]):
        assert without_traces(fold_events([*order, *RUPTURED, *later])) == without_traces(never)


def test_what_opened_after_a_resolution_is_retracted_when_that_is_taken_back() -> None:
    later = rated_sessions(5, first=9)
    second = open_episode([*RUPTURED, RESOLVED, *later])

    result = refold([*START_EVENTS, *RUPTURED, RESOLVED, *later, BUILDER.taken_back(RESOLVED, 9.5)], DEFAULT_POLICY)

    assert result.alliance.open_episode is not None
    assert (result.alliance.open_episode.id, result.ended_episodes) == (EPISODE.id, ())
    assert result.last_retraction is not None
    assert (result.last_retraction.episode.id, result.last_retraction.reason) == (second.id, "amended")


def test_an_acknowledgement_that_was_taken_back_changes_nothing() -> None:
    acknowledgement = BUILDER.resolved(EPISODE.id, 8.4)

    alliance = fold_events([*RUPTURED, RESOLVED, BUILDER.taken_back(acknowledgement, 8.6)])

    assert without_traces(alliance) == without_traces(fold_events([*RUPTURED, RESOLVED]))


def test_only_a_resolution_can_be_taken_back() -> None:
    answer = BUILDER.feedback(8, 5)
    back = BUILDER.taken_back(RESOLVED, 9).model_copy(update={"disposition_id": answer.id})

    assert without_traces(fold_events([*RUPTURED, back])) == without_traces(fold_events(RUPTURED))


def test_a_refold_finds_every_end_and_a_forward_fold_only_the_new_ones() -> None:
    later = rated_sessions(5, first=9)
    second = BUILDER.resolved(open_episode([*RUPTURED, RESOLVED, *later]).id, 9.5)
    first_part = [*START_EVENTS, *RUPTURED, RESOLVED]

    def ended_ids(result: FoldResult) -> list[object]:
        return [ended.episode.id for ended in result.ended_episodes]

    forward = fold_forward(fold(first_part, DEFAULT_POLICY), [*later, second], DEFAULT_POLICY)
    assert ended_ids(forward) == [second.episode_id]
    assert ended_ids(refold([*first_part, *later, second], DEFAULT_POLICY)) == [EPISODE.id, second.episode_id]


def test_of_an_erased_client_no_resolution_remains() -> None:
    erased = fold_events([*RUPTURED, RESOLVED, BUILDER.erased(10)])

    assert replace(erased, last_event_key=None) == Alliance(erasure_id=BUILDER.erased(10).id)
