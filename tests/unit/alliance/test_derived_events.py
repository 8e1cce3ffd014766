"""The events that alliance derives from what it folded, for a consumer that may have missed the one before."""

from datetime import timedelta
from uuid import UUID, uuid5

import pytest

from services.alliance.domain.derived_events import derive_events
from services.alliance.domain.fold import refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.presentation.summary import summarize
from services.alliance.domain.state.history import HistoryEvent
from shared.events import (
    AllianceUpdated,
    Event,
    RuptureChanged,
    RuptureEnded,
    RuptureEvent,
    RuptureRepaired,
    RuptureRetracted,
    RuptureSuspected,
)
from tests.support.builders import RelationshipBuilder

BUILDER = RelationshipBuilder(UUID("b4a1d1f6-51c9-4ac7-9d7b-5f5a4f3f2c01"))
RUPTURED = (*[9.0] * 8, 5.0)


def rated_sessions(*ratings: float, first: int = 0) -> list[HistoryEvent]:
    return [
        event
        for week, rating in enumerate(ratings, start=first)
        for event in (BUILDER.completed(week), BUILDER.feedback(week, rating))
    ]


def derive(*events: HistoryEvent, version: int = 4) -> list[Event]:
    history = [BUILDER.started(), BUILDER.consent_changed(-0.5, given=True), *events]
    result = refold(history, DEFAULT_POLICY)
    return list(derive_events(BUILDER.relationship_id, result, version, DEFAULT_POLICY))


def derive_update(*events: HistoryEvent) -> AllianceUpdated:
    update = derive(*events)[-1]
    assert isinstance(update, AllianceUpdated)
    return update


def derive_rupture(*events: HistoryEvent) -> RuptureEvent:
    """The only event about an episode."""
    (rupture,) = (event for event in derive(*events) if isinstance(event, RuptureEvent))
    return rupture


def test_of_a_relationship_without_events_nothing_is_derived() -> None:
    result = refold([], DEFAULT_POLICY)

    assert list(derive_events(BUILDER.relationship_id, result, 1, DEFAULT_POLICY)) == []


def test_episodes_come_before_the_alliance_and_ended_ones_before_the_open_one() -> None:
    events = rated_sessions(*RUPTURED, 9, 9, 9, 9, 9, 5, 9, 9, 9, 9, 9, 4)

    assert [type(event) for event in derive(*events)] == [
        RuptureRepaired,
        RuptureRepaired,
        RuptureSuspected,
        AllianceUpdated,
    ]
    ended = [*rated_sessions(*RUPTURED, 9, 9, 5, first=0), BUILDER.ended(12)]
    assert [type(event) for event in derive(*ended)] == [RuptureRetracted, RuptureRepaired, AllianceUpdated]


def test_the_ids_of_derived_events_follow_from_the_relationship_and_its_version() -> None:
    events = rated_sessions(*RUPTURED)
    fourth, again, fifth = derive(*events), derive(*events), derive(*events, version=5)

    assert [event.id for event in fourth] == [event.id for event in again]
    assert {event.id for event in fourth}.isdisjoint(event.id for event in fifth)
    assert fourth[-1].id == uuid5(BUILDER.relationship_id, "alliance:4")
    assert {event.version for event in fourth if isinstance(event, AllianceUpdated | RuptureEvent)} == {4}


def test_an_episode_is_suspected_with_its_first_sign_and_changed_with_each_further_one() -> None:
    suspected = derive_rupture(*rated_sessions(*RUPTURED))
    changed = derive_rupture(*rated_sessions(*RUPTURED, 4.0))

    assert (type(suspected), type(changed)) == (RuptureSuspected, RuptureChanged)
    assert suspected.episode_id == changed.episode_id
    assert suspected.occurred_at == suspected.first_sign_at == BUILDER.feedback(8).occurred_at
    assert changed.occurred_at == changed.last_sign_at == BUILDER.feedback(9).occurred_at
    assert changed.first_sign_at == suspected.first_sign_at


def test_an_episode_has_its_evidence_and_the_time_at_which_the_last_answer_was_recorded() -> None:
    recorded_at = BUILDER.at(8.2)
    critical = BUILDER.feedback(8, 5).model_copy(update={"recorded_at": recorded_at})

    rupture = derive_rupture(*rated_sessions(*[9.0] * 8), BUILDER.completed(8), critical)

    assert (rupture.recorded_at, rupture.severity, rupture.policy) == (recorded_at, "concern", DEFAULT_POLICY.digest)
    assert "sudden_drop" in {sign.detector for sign in rupture.evidence}


def test_a_repair_occurred_with_the_rating_that_showed_it() -> None:
    assert derive_rupture(*rated_sessions(*RUPTURED, 9, 9, 9)).occurred_at == BUILDER.feedback(10).occurred_at


@pytest.mark.parametrize("reason", ["ended", "consent_withdrawn", "amended"])
def test_a_retraction_occurred_with_its_cause_and_names_it(reason: str) -> None:
    cause = {
        "ended": BUILDER.ended(9),
        "consent_withdrawn": BUILDER.consent_changed(9, given=False),
        "amended": BUILDER.amended(8, 9),
    }[reason]

    retracted = derive_rupture(*rated_sessions(*RUPTURED), cause)

    assert isinstance(retracted, RuptureRetracted)
    assert (retracted.occurred_at, retracted.reason) == (cause.occurred_at, reason)
    assert retracted.end_reason == ("completed" if reason == "ended" else None)


def test_an_episode_whose_alert_was_resolved_ended_with_the_resolution() -> None:
    resolved = BUILDER.resolved(derive_rupture(*rated_sessions(*RUPTURED)).episode_id, 8.5)

    ended, update = derive(*rated_sessions(*RUPTURED), resolved)

    assert isinstance(ended, RuptureEnded)
    assert (ended.episode_id, ended.occurred_at) == (resolved.episode_id, resolved.occurred_at)
    assert (ended.reason, ended.superseded_by) == ("resolved", None)
    assert isinstance(update, AllianceUpdated)
    assert (update.open_episode_id, update.standing, update.since) == (None, "calm", resolved.occurred_at)


def test_an_episode_says_its_probability_and_the_base_rate_that_it_is_stated_for() -> None:
    """That at the strongest of its signs, while a later one may be weaker."""
    rupture = derive_rupture(*rated_sessions(*[9.0] * 8, 5, 5, 9), BUILDER.missed(11))
    strongest = derive_rupture(*rated_sessions(*[9.0] * 8, 5, 5))

    assert rupture.last_sign_at > strongest.last_sign_at
    assert rupture.base_rate == DEFAULT_POLICY.base_rate
    assert rupture.probability == strongest.probability
    assert rupture.probability is not None
    assert DEFAULT_POLICY.urgent <= rupture.probability < 1


@pytest.mark.parametrize("kind", ["reported directly", "at the floor", "low again"])
def test_what_the_client_said_has_no_probability(kind: str) -> None:
    """Natural frequencies of simulations say nothing about what a client said in words or numbers."""
    usual = rated_sessions(*[9.0] * 8)
    tense = BUILDER.feedback(8, 9, tension="yes", talked_about="not")
    resolved = BUILDER.resolved(derive_rupture(*rated_sessions(*RUPTURED)).episode_id, 8.5)
    events: list[HistoryEvent] = {
        "reported directly": [*usual, BUILDER.completed(8), tense],
        "at the floor": rated_sessions(*[9.0] * 8, 3),
        "low again": [*rated_sessions(*RUPTURED), resolved, *rated_sessions(5, first=9)],
    }[kind]

    (suspected,) = (event for event in derive(*events) if isinstance(event, RuptureSuspected))

    assert (suspected.probability, suspected.base_rate) == (None, None)


def test_a_retraction_says_that_the_client_ended_the_relationship() -> None:
    retracted = derive_rupture(*rated_sessions(*RUPTURED), BUILDER.ended(9, "stopped_by_client"))

    assert isinstance(retracted, RuptureRetracted)
    assert retracted.end_reason == "stopped_by_client"


def test_an_alliance_is_published_with_its_summary_and_numbers_of_one_decimal() -> None:
    events: list[HistoryEvent] = [
        *rated_sessions(9, 8, 9, 7, 8, 9),
        BUILDER.feedback(5, 7, "clinician"),
        BUILDER.missed(6),
        BUILDER.completed(7),
        BUILDER.with_outcome(BUILDER.feedback(7, 9), 21),
        BUILDER.completed(8),
        BUILDER.lapsed(8),
    ]
    history = [BUILDER.started(), BUILDER.consent_changed(-0.5, given=True), *events]
    alliance = refold(history, DEFAULT_POLICY).alliance
    summary, update = summarize(alliance, DEFAULT_POLICY), derive_update(*events)

    assert [update.level, update.low, update.high] == pytest.approx(
        [summary.level, summary.low, summary.high], abs=0.05
    )
    assert update.level == round(alliance.client.rolling_score or 0, 1) != alliance.client.rolling_score
    assert update.elements == dict.fromkeys(alliance.element_scores, update.level)
    assert (update.attendance, update.response) == (0.889, 0.875)  # 8 of 9 sessions, 7 of 8 forms
    assert (update.sessions, update.ratings, update.outcome, update.difference) == (8, 7, 52.5, 20)
    assert (update.standing, update.since) == ("calm", BUILDER.feedback(0).occurred_at)
    assert (update.trend, update.information) == ("steady", "good")
    assert (update.open_episode_id, update.policy) == (None, DEFAULT_POLICY.digest)


def test_an_alliance_occurred_with_the_last_known_event_and_names_the_open_episode() -> None:
    lapsed = BUILDER.lapsed(7)
    events = [*rated_sessions(*RUPTURED), lapsed]
    rupture, update = derive_rupture(*events), derive_update(*events)

    assert update.occurred_at == max(event.occurred_at for event in events) >= lapsed.occurred_at
    assert (update.open_episode_id, update.standing) == (rupture.episode_id, rupture.severity)


def test_an_alliance_without_ratings_has_no_numbers() -> None:
    update = derive_update(BUILDER.completed(0))

    assert (update.level, update.low, update.high, update.trend, update.difference, update.outcome) == (None,) * 6
    assert (update.elements, update.ratings, update.information, update.response) == ({}, 0, "none", None)
    assert update.occurred_at - BUILDER.at(0) == timedelta(0)
