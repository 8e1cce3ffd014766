"""An episode that existed before a correction and no longer exists after it is retracted."""

from collections.abc import Sequence
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.alliance.domain.fold import fold_steps, refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.state.alliance import Alliance, Episode, Retraction
from services.alliance.domain.state.branches import MAX_CORRECTIONS_CHECKED
from services.alliance.domain.state.history import HistoryEvent, corrected_at, is_correction, sort_events, sort_key
from tests.unit.alliance.histories import BUILDER

WEEKS = 20


@st.composite
def corrected_histories(draw: st.DrawFn) -> list[HistoryEvent]:
    """Histories with ruptures and absences, of which up to ten are corrected: soon, or long afterwards."""
    events: list[HistoryEvent] = [BUILDER.started(), BUILDER.consent_changed(-0.5, given=True)]
    for week in range(draw(st.integers(4, WEEKS))):
        rating = draw(st.sampled_from([9.0, 9.0, 9.0, 2.0, None]))
        if rating is None:
            events.append(BUILDER.missed(week))
        else:
            events += [BUILDER.completed(week), BUILDER.feedback(week, rating)]
    if draw(st.booleans()):
        events.append(BUILDER.ended(draw(st.integers(4, WEEKS)) + 0.5))
    return [*events, *draw(st.lists(week_corrections(), max_size=10))]


@st.composite
def week_corrections(draw: st.DrawFn) -> HistoryEvent:
    week, weeks_later = draw(st.integers(0, WEEKS)), draw(st.sampled_from([0.1, 0.1, 3.2, 30.2]))
    number, recorded_week = draw(st.integers(1, 2)), week + weeks_later
    possible: list[HistoryEvent] = [
        BUILDER.amended(week, 9, days_later=7 * weeks_later),
        BUILDER.amended(week, 2, days_later=7 * weeks_later),
        BUILDER.corrected(BUILDER.completed(week), number, recorded_week),
        BUILDER.corrected(BUILDER.missed(week), number, recorded_week),
        BUILDER.corrected(BUILDER.cancelled(week, 90), number, recorded_week),
    ]
    return draw(st.sampled_from(possible))


def fold_with_episodes(events: Sequence[HistoryEvent]) -> tuple[Alliance, dict[UUID, Episode]]:
    alliance, episodes = Alliance(), dict[UUID, Episode]()
    for _, _, alliance in fold_steps(events, DEFAULT_POLICY):
        for episode in (alliance.last_repaired, alliance.open_episode):
            if episode is not None:
                episodes[episode.id] = episode
    return alliance, episodes


def retraction_by_definition(events: Sequence[HistoryEvent]) -> Retraction | None:
    """What the definition says: fold whatever was known before each of the latest corrections."""
    alliance, episodes = fold_with_episodes(events)
    by_time = sorted(sort_events(events), key=lambda event: (corrected_at(event), sort_key(event)))
    corrections = [index for index, event in enumerate(by_time) if is_correction(event)]
    for index in reversed(corrections[-MAX_CORRECTIONS_CHECKED:]):
        _, episodes_before = fold_with_episodes(by_time[:index])
        vanished = [episode for episode in episodes_before.values() if episode.id not in episodes]
        at = corrected_at(by_time[index])
        if vanished and (alliance.last_retraction is None or alliance.last_retraction.at < at):
            return Retraction(vanished[-1], at, "amended")
        if vanished:
            break
    return alliance.last_retraction


@given(events=corrected_histories())
def test_the_last_episode_that_only_existed_before_a_correction_is_retracted(events: list[HistoryEvent]) -> None:
    assert refold(events, DEFAULT_POLICY).last_retraction == retraction_by_definition(events)


def test_the_latest_eight_corrections_are_checked() -> None:
    """Each could cost a whole fold. What an earlier one retracted was published when it was made."""
    ratings = enumerate([9.0] * 9 + [2.0])
    events: list[HistoryEvent] = [BUILDER.started(), BUILDER.consent_changed(-0.5, given=True)]
    events += [event for week, rating in ratings for event in (BUILDER.completed(week), BUILDER.feedback(week, rating))]
    retracting = BUILDER.amended(9, 9)
    harmless = [BUILDER.amended(week, 9, days_later=100) for week in range(MAX_CORRECTIONS_CHECKED)]

    retraction = refold([*events, retracting, *harmless[1:]], DEFAULT_POLICY).last_retraction

    assert retraction is not None
    assert retraction.at == retracting.occurred_at
    assert refold([*events, retracting, *harmless], DEFAULT_POLICY).last_retraction is None
