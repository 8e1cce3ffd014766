"""When an episode opens, which signs it reports, and how it is repaired or retracted."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from services.alliance.domain.detection.components import COUNT, START, update
from services.alliance.domain.detection.decision import MIN_SIGN_STRENGTH, detect_rupture
from services.alliance.domain.detection.detectors import Observation
from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policy
from services.alliance.domain.state.alliance import Alliance, Session
from shared.events import Evidence
from tests.unit.alliance.rated_relationship import BUILDER, START_EVENTS, fold_events, open_episode, rated_sessions


def test_signs_of_earlier_sessions_are_dropped_once_the_probability_is_low_again() -> None:
    weak = [*rated_sessions(*[9.0] * 8), BUILDER.completed(8), BUILDER.feedback(8, 9, trust=8)]

    assert fold_events(weak).signs != ()
    assert fold_events([*weak, *rated_sessions(9, 9, 9, first=9)]).signs == ()


def test_weak_signs_that_add_up_are_reported_by_the_strongest_of_them() -> None:
    """Each is too weak to be mentioned beside others, and there are no others."""
    policy = Policy(watch=0.045, concern=0.9, urgent=0.9)
    usual, absences = rated_sessions(9, 9, 9), [BUILDER.missed(week) for week in range(3, 6)]
    first = fold([*START_EVENTS, *usual, *absences[:2]], policy).open_episode
    later = fold([*START_EVENTS, *usual, *absences], policy).open_episode

    assert first is not None
    assert [(sign.detector, sign.strength < MIN_SIGN_STRENGTH) for sign in first.evidence] == [("withdrawal", True)]
    assert first.first_sign_at == absences[1].occurred_at
    assert later == first  # another weak sign adds nothing to what is known already


def reported_strengths(*strengths: float, remembered: tuple[Evidence, ...] = ()) -> list[float]:
    """The strengths of the signs that are reported, of those that are detected when a rupture is likely."""
    probabilities = update(START, [0.0, *[6.0] * (COUNT - 1)])
    event, likely = BUILDER.feedback(0), Alliance(has_consent=True, components=probabilities, signs=remembered)
    observation = Observation(event, Session(event.session_id, event.occurred_at), likely, likely, DEFAULT_POLICY)

    def detect_all(observation: Observation) -> Iterator[Evidence]:
        for number, strength in enumerate(strengths):
            yield observation.create_evidence(f"detector_{number}", strength)

    episode = detect_rupture(observation, [detect_all]).open_episode
    return [sign.strength for sign in episode.evidence] if episode else []


def test_a_sign_below_a_fifth_of_what_opens_an_episode_is_reported_only_if_there_is_no_other() -> None:
    assert reported_strengths(0.2, 0.5, 0.19) == [0.2, 0.5]
    assert reported_strengths(0.1, 0.19, 0.15) == [0.19]
    assert reported_strengths() == []


def test_the_session_that_opens_an_episode_is_in_its_evidence_beside_the_signs_of_before() -> None:
    before = Evidence(detector="withdrawal", strength=0.5, session_id=UUID(int=1), occurred_at=BUILDER.at(-1))

    assert reported_strengths(0.1, remembered=(before,)) == [0.5, 0.1]
    assert reported_strengths(remembered=(before,)) == [0.5]


def test_a_rupture_does_not_become_part_of_the_baseline() -> None:
    """After six sessions of a rupture the seventh is nearly as surprising as the first."""
    before, after = (
        fold_events(rated_sessions(*[9.0] * 8, *[5.0] * sessions)).client.baseline_mean for sessions in (0, 7)
    )

    assert after == pytest.approx(before, abs=3)


def test_of_each_kind_of_sign_the_newest_and_the_strongest_are_in_the_evidence() -> None:
    """The triggering session is among them, however often the same has been seen."""
    usual, deep = rated_sessions(*[9.0] * 8), rated_sessions(8, 4.5, 8, 7.8, first=8)

    drops = [
        (sign.occurred_at, sign.numbers["rating"])
        for sign in open_episode([*usual, *deep]).evidence
        if sign.detector == "sudden_drop"
    ]

    strongest = (BUILDER.feedback(9).occurred_at, 45)
    assert drops == sorted(drops)
    assert len(drops) == 2
    assert strongest in drops
    assert drops[-1][0] == open_episode([*usual, *deep]).last_sign_at


def test_two_ratings_within_the_own_range_repair_an_episode() -> None:
    ruptured = [*rated_sessions(*[9.0] * 8), *rated_sessions(5, first=8)]

    alliance = fold_events([*ruptured, *rated_sessions(9, 9, first=9)])

    assert alliance.open_episode is None
    assert alliance.last_repaired is not None
    assert alliance.last_repaired.id == open_episode(ruptured).id


def test_a_rating_below_the_own_range_starts_the_repair_anew() -> None:
    ruptured = [*rated_sessions(*[9.0] * 8), *rated_sessions(5, 9, first=8)]

    assert open_episode(ruptured).calm_ratings == 1
    assert open_episode([*ruptured, *rated_sessions(8.3, first=10)]).calm_ratings == 0
    assert fold_events([*ruptured, *rated_sessions(9, first=10)]).open_episode is None


def test_after_a_repair_the_probabilities_start_anew() -> None:
    alliance = fold_events([*rated_sessions(*[9.0] * 8), BUILDER.missed(8), *rated_sessions(5, 9, 9, first=9)])

    assert alliance.last_repaired is not None
    assert alliance.components == START
    assert alliance.client.below_expected_streak == 0
    assert alliance.last_repaired.closed_at == BUILDER.feedback(11).occurred_at


def test_the_severity_of_an_open_episode_never_falls() -> None:
    urgent = open_episode([*rated_sessions(*[9.0] * 8), *rated_sessions(3, 3, first=8)])
    later = open_episode([*rated_sessions(*[9.0] * 8), *rated_sessions(3, 3, 9, first=8), BUILDER.missed(11)])

    assert (urgent.severity, later.severity) == ("urgent", "urgent")


def test_attending_again_repairs_an_episode_of_absence_only() -> None:
    away = [*rated_sessions(*[9.0] * 8), BUILDER.missed(8), BUILDER.missed(9), BUILDER.missed(10)]
    back = fold_events([*away, BUILDER.completed(11), BUILDER.completed(12)])

    assert open_episode([*away, BUILDER.completed(11)]).calm_ratings == 1
    assert back.open_episode is None
    assert back.last_repaired is not None


def test_an_amended_answer_retracts_the_episode_that_it_had_caused() -> None:
    mistake = [*rated_sessions(*[9.0] * 8), BUILDER.completed(8), BUILDER.feedback(8, 1)]

    alliance = fold_events([*mistake, BUILDER.amended(8, 9)])

    assert alliance.open_episode is None
    assert alliance.last_retraction is not None
    assert (alliance.last_retraction.episode.id, alliance.last_retraction.reason) == (
        open_episode(mistake).id,
        "amended",
    )


@pytest.mark.parametrize(("later_amendments", "is_known"), [(7, True), (8, False)])
def test_only_the_last_eight_amendments_are_checked_for_a_retraction(later_amendments: int, is_known: bool) -> None:
    mistake = [*rated_sessions(*[9.0] * 8), BUILDER.completed(8), BUILDER.feedback(8, 1), BUILDER.amended(8, 9)]
    later = [BUILDER.amended(week, 8.9, days_later=100 + week) for week in range(later_amendments)]

    assert (fold_events([*mistake, *later]).last_retraction is not None) == is_known


def test_a_repaired_episode_is_not_retracted_by_an_unrelated_amendment() -> None:
    repaired = [*rated_sessions(*[9.0] * 8), *rated_sessions(5, 9, 9, 9, first=8)]

    alliance = fold_events([*repaired, BUILDER.amended(2, 8.5, days_later=200)])

    assert alliance.last_repaired is not None
    assert alliance.last_retraction is None


@pytest.mark.parametrize("reason", ["ended", "consent_withdrawn"])
def test_the_end_and_withdrawn_consent_retract_the_open_episode(reason: str) -> None:
    ruptured = [*rated_sessions(*[9.0] * 8), *rated_sessions(5, first=8)]
    last = BUILDER.ended(8.5) if reason == "ended" else BUILDER.consent_changed(8.5, given=False)

    alliance = fold_events([*ruptured, last, BUILDER.feedback(9, 1)])

    assert alliance.open_episode is None
    assert alliance.last_retraction is not None
    assert alliance.last_retraction.reason == reason
