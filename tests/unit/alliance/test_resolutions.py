"""A clinician's resolution of an alert ends its episode, and never lowers the weight of what the client says later."""

from itertools import permutations

import pytest

from services.alliance.domain.detection.rating import weigh_client_rating
from services.alliance.domain.fold import FoldResult, fold, fold_forward, refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.presentation.summary import summarize
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.fast_replace import replace
from services.alliance.domain.state.history import HistoryEvent
from shared.events import Severity
from tests.unit.alliance.rated_relationship import BUILDER, START_EVENTS, fold_events, open_episode, rated_sessions

RUPTURED = rated_sessions(*[9.0] * 8, 5.0)
EPISODE = open_episode(RUPTURED)
RESOLVED = BUILDER.resolved(EPISODE.id, 8.5, "talked_about")


def without_traces(alliance: Alliance) -> Alliance:
    """The alliance without which events and corrections are known and what ended."""
    known = replace(alliance, last_event_key=None, last_corrected_at=None, amended_unknown=())
    return replace(known, last_ended=None, last_retraction=None)


EPISODES: dict[Severity, list[HistoryEvent]] = {
    "watch": [*rated_sessions(*[9.0] * 8), BUILDER.missed(8), BUILDER.missed(9)],
    "concern": RUPTURED,
    "urgent": rated_sessions(*[9.0] * 8, 5, 4, 3),
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

    assert (ended.signs, ended.withdrawal, ended.client.below_expected_streak) == ((), 0.0, 0)
    assert ended.rupture_probability < DEFAULT_POLICY.concern / 10
    assert fold_events([*RUPTURED, RESOLVED, *rated_sessions(8.6, first=9)]).open_episode is None
    assert fold_events([*RUPTURED, *rated_sessions(8.6, first=9)]).open_episode is not None
    assert (
        fold_events([*EPISODES["watch"], BUILDER.resolved(open_episode(EPISODES["watch"]).id, 9.5)]).open_episode
        is None
    )


def test_absence_before_the_resolution_is_no_part_of_a_later_withdrawal() -> None:
    events = [*EPISODES["watch"], BUILDER.resolved(open_episode(EPISODES["watch"]).id, 9.5)]

    assert fold_events([*events, BUILDER.missed(10)]).open_episode is None
    assert fold_events([*events, BUILDER.missed(10), BUILDER.missed(11)]).open_episode is not None


def test_the_baseline_stays_as_it_was_and_adapts_again() -> None:
    before, ended = fold_events(RUPTURED), fold_events([*RUPTURED, RESOLVED])
    later = fold_events([*RUPTURED, RESOLVED, *rated_sessions(8.6, first=9)])

    assert (ended.client.baseline_count, ended.client.baseline_total) == (
        before.client.baseline_count,
        before.client.baseline_total,
    )
    assert later.client.baseline_count == before.client.baseline_count + 1


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


def test_a_direct_report_after_the_resolution_counts_as_if_there_had_been_no_alert() -> None:
    report: list[HistoryEvent] = [BUILDER.completed(9), BUILDER.feedback(9, tension="yes", talked_about="not")]

    after_resolution = open_episode([*RUPTURED, RESOLVED, *report])
    without_alert = open_episode([*rated_sessions(*[9.0] * 9), *report])

    reports = [
        [sign for sign in e.evidence if sign.detector == "told_directly"] for e in (after_resolution, without_alert)
    ]
    assert reports[0] == reports[1] != []


@pytest.mark.parametrize("rating", range(11))
def test_a_rating_weighs_the_same_after_a_resolution(rating: float) -> None:
    answer = BUILDER.feedback(9, rating)

    resolved, unresolved = (fold_events([*RUPTURED, *disposition]) for disposition in ([RESOLVED], []))

    assert weigh_client_rating(answer, resolved, DEFAULT_POLICY.prior) == weigh_client_rating(
        answer, unresolved, DEFAULT_POLICY.prior
    )


def test_an_answer_after_the_resolution_about_a_session_of_before_it_counts_in_full() -> None:
    """The session had begun, so the probability does not decay towards the base rate once more."""
    answer = BUILDER.feedback(9, 4)
    resolved = BUILDER.resolved(EPISODE.id, 9.001)
    assert BUILDER.completed(9).occurred_at < resolved.occurred_at < answer.occurred_at

    alliance = fold([*START_EVENTS, *RUPTURED, BUILDER.completed(9), resolved, answer], DEFAULT_POLICY)

    assert alliance.rupture_probability > DEFAULT_POLICY.concern


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
