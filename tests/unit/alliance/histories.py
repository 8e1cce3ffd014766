"""Histories of one relationship, as hypothesis draws them."""

from datetime import timedelta
from functools import partial
from uuid import UUID

from hypothesis import strategies as st

from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.domain.tuning.replay import replay_episodes
from shared.events import FeedbackSubmitted
from tests.support.builders import RelationshipBuilder

BUILDER = RelationshipBuilder(UUID("6f1de7f1-3f0c-4a39-9d39-7a6a9a4f7a10"))


LANGUAGES = st.sampled_from([None, None, "de", "tr"])
RATINGS = st.integers(0, 10).map(float)
TENSIONS = st.sampled_from([("none", None), ("a_little", "yes"), ("yes", "not")])
AMENDMENT_DELAYS = st.sampled_from([-9.0, -0.01, 0.5, 1.0, 9.0, 30.0])  # days; clocks differ, so some are negative
TOTALS = st.integers(0, 50)
DELAYS = st.sampled_from([-30.0, -0.01, 0.01, 9.0])  # days


def week_events(number: int) -> st.SearchStrategy[list[HistoryEvent]]:
    """The possible events of one week: a session held and rated, held and unanswered, missed, cancelled, amended."""
    held, feedback = BUILDER.completed(number), partial(BUILDER.feedback, number)
    absent = [[BUILDER.missed(number)], [BUILDER.cancelled(number, 3)], [BUILDER.cancelled(number, 90)]]
    absent.append([BUILDER.missed(number).model_copy(update={"source_gap": True})])
    rated = st.builds(
        lambda r, t, language: [held, in_language(feedback(r, tension=t[0], talked_about=t[1]), language)],
        RATINGS,
        TENSIONS,
        LANGUAGES,
    )
    return st.one_of(
        rated,
        rated,
        st.builds(lambda a, b: [held, feedback(a), feedback(b, "clinician")], RATINGS, RATINGS),
        st.builds(
            lambda a, b, days: [held, feedback(a), BUILDER.amended(number, b, days)], RATINGS, RATINGS, AMENDMENT_DELAYS
        ),
        st.sampled_from([50, 20]).map(lambda minutes: [BUILDER.completed(number, minutes), BUILDER.lapsed(number)]),
        st.builds(lambda r: [held, BUILDER.lapsed(number), feedback(r)], RATINGS),
        st.sampled_from(absent),
        st.builds(
            lambda name, total: [held, BUILDER.instrument_total(number, name, total)],
            st.sampled_from(["srs", "ors", "unheard-of"]),
            TOTALS,
        ),
        st.builds(lambda r, total: [held, BUILDER.with_outcome(feedback(r), total)], RATINGS, TOTALS),
        st.builds(lambda a, b, t: [feedback(b, "clinician", *t), held, feedback(a)], RATINGS, RATINGS, TENSIONS),
    )


def in_language(answer: FeedbackSubmitted, language: str | None) -> FeedbackSubmitted:
    return answer.model_copy(update={"language": language})


@st.composite
def lasting_changes(draw: st.DrawFn) -> list[HistoryEvent]:
    """So many weeks at one level and so many at another, lower one, that it can become a level shift."""
    start, weeks = draw(st.integers(1, 4)), draw(st.integers(9, 16))
    lower = draw(st.sampled_from([3.0, 5.0, 7.0, 8.0]))
    sessions: list[HistoryEvent] = []
    for number in range(start + weeks):
        sessions += [BUILDER.completed(number), BUILDER.feedback(number, 9 if number < start else lower)]
    return sessions


@st.composite
def contradictory_histories(draw: st.DrawFn) -> list[HistoryEvent]:
    """Histories in which some ids come with two or three different contents."""
    events = draw(histories())
    contradictions = [
        draw(contradiction(event)) for event in draw(st.lists(st.sampled_from(events), min_size=1, max_size=6))
    ]
    return [*events, *contradictions]


def contradiction(event: HistoryEvent) -> st.SearchStrategy[HistoryEvent]:
    """Another event under the same id: at another time, or of another type at the same time."""
    moved = DELAYS.map(lambda days: event.model_copy(update={"occurred_at": event.occurred_at + timedelta(days=days)}))
    week = week_of(event)
    other_types = [BUILDER.missed(week), BUILDER.completed(week), BUILDER.feedback(week, 3)]
    same_moment = {"id": event.id, "occurred_at": event.occurred_at}
    return st.one_of(moved, st.sampled_from([other.model_copy(update=same_moment) for other in other_types]))


def week_of(event: HistoryEvent) -> int:
    return max(0, (event.occurred_at - BUILDER.at(0)).days // 7)


@st.composite
def histories(draw: st.DrawFn) -> list[HistoryEvent]:
    events: list[HistoryEvent] = [BUILDER.started(), BUILDER.consent_changed(-0.5, given=True)]
    if draw(st.integers(0, 3)) == 0:
        events += draw(lasting_changes())
    else:
        for number in range(draw(st.integers(0, 12))):
            events += draw(week_events(number))
    if draw(st.booleans()):
        events.append(BUILDER.consent_changed(draw(st.integers(0, 12)) + 0.3, given=False))
        events.append(BUILDER.consent_changed(draw(st.integers(0, 12)) + 0.6, given=True))
    if draw(st.booleans()):
        events.append(BUILDER.ended(draw(st.integers(0, 14)) + 0.5))
    if draw(st.integers(0, 9)) == 0:
        events.append(BUILDER.erased(draw(st.integers(0, 14)) + 0.7))
    events += draw(st.lists(corrections(), max_size=3))
    return [*events, *draw(dispositions(events))]


@st.composite
def dispositions(draw: st.DrawFn, events: list[HistoryEvent]) -> list[HistoryEvent]:
    """Some of the episodes were resolved, at any time, and some of the resolutions taken back; also unknown ones."""
    episodes = [*(episode.episode_id for episode in replay_episodes(events, DEFAULT_POLICY)), UUID(int=9)]
    made: list[HistoryEvent] = []
    for episode in draw(st.lists(st.sampled_from(episodes), max_size=3)):
        week = draw(st.integers(0, 14)) + 0.4
        resolved = BUILDER.resolved(episode, week)
        made += [resolved, BUILDER.taken_back(resolved, week + draw(st.sampled_from([-0.2, 1.5])))][
            draw(st.sampled_from([slice(1), slice(1), slice(1, 2), slice(2)]))
        ]
    return made


@st.composite
def corrections(draw: st.DrawFn) -> HistoryEvent:
    """A correction of the outcome of a session, or of the end, of which nothing else may be known."""
    week, number, recorded_week = draw(st.integers(0, 12)), draw(st.integers(1, 2)), draw(st.integers(0, 14)) + 0.8
    possible: list[HistoryEvent] = [
        BUILDER.corrected(BUILDER.completed(week), number, recorded_week),
        BUILDER.corrected(BUILDER.missed(week), number, recorded_week),
        BUILDER.corrected(BUILDER.cancelled(week, 3), number, recorded_week),
        BUILDER.corrected(BUILDER.reinstated(week), number, recorded_week),
        BUILDER.corrected(BUILDER.ended(week + 0.5), number, recorded_week),
        BUILDER.reopened(recorded_week, number),
    ]
    return draw(st.sampled_from(possible))
