"""Dispositions of alerts are recorded once, and counted for the detectors of their episodes."""

from itertools import permutations
from uuid import UUID, uuid5

import pytest
from prometheus_client import CollectorRegistry

from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.domain.tuning.dispositions import Precision, list_counting, measure_precision
from services.alliance.handlers.dispositions import DispositionRecorder
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from services.alliance.store.memory import InMemoryStore
from shared.events import AlertReopened, AlertResolved
from tests.support.builders import RelationshipBuilder

BUILDER = RelationshipBuilder(UUID("0d0b6d0e-7e9e-4a52-8a0a-38a4a4a4b001"))


class AllianceHarness:
    """The handlers of one process, with the events of one relationship."""

    def __init__(self) -> None:
        self.store, self.registry = InMemoryStore(), CollectorRegistry()
        metrics = Metrics(self.registry)
        self.projector = AllianceProjector(self.store, self._publish, Policies(), metrics)
        self.recorder = DispositionRecorder(self.store, Policies(), metrics)

    async def _publish(self, events: object) -> None:
        pass

    async def apply_ratings(self, *ratings: float) -> UUID:
        events: list[HistoryEvent] = [BUILDER.started(), BUILDER.consent_changed(-0.5, given=True)]
        events += [
            event
            for week, rating in enumerate(ratings)
            for event in (BUILDER.completed(week), BUILDER.feedback(week, rating))
        ]
        await self.projector.handle_batch(events)
        alliance = self.store.states[BUILDER.relationship_id].alliance
        episode = alliance.open_episode or alliance.last_repaired
        assert episode
        return episode.id

    def disposition_count(self, detector: str, useful: str) -> float | None:
        labels = {"detector": detector, "useful": useful}
        return self.registry.get_sample_value("attune_alliance_alert_dispositions_total", labels)


def resolved(episode: UUID, useful: bool | None = True) -> AlertResolved:
    return AlertResolved(
        id=uuid5(episode, "resolved"),
        occurred_at=BUILDER.at(9),
        relationship_id=BUILDER.relationship_id,
        alert_id=uuid5(episode, "alert"),
        episode_id=episode,
        clinician_id=BUILDER.started().clinician_id,
        useful=useful,
    )


def reopened(event: AlertResolved) -> AlertReopened:
    common = {"occurred_at", "relationship_id", "alert_id", "episode_id", "clinician_id"}
    return AlertReopened(
        id=event.derive_id("reopened"),
        severity="concern",
        disposition_id=event.id,
        **event.model_dump(include=common),
    )


@pytest.mark.parametrize(("useful", "label"), [(True, "yes"), (False, "no"), (None, "not_stated")])
async def test_a_disposition_is_counted_for_the_detectors_of_its_episode(useful: bool | None, label: str) -> None:
    harness = AllianceHarness()
    episode = await harness.apply_ratings(9, 9, 9, 2)

    await harness.recorder.handle_batch([resolved(episode, useful)])

    assert harness.disposition_count("sudden_drop", label) == 1
    (disposition,) = await harness.store.dispositions([BUILDER.relationship_id])
    assert (disposition.useful, disposition.policy) == (useful, DEFAULT_POLICY.digest)


async def test_a_redelivered_disposition_is_recorded_and_counted_once() -> None:
    harness = AllianceHarness()
    episode = await harness.apply_ratings(9, 9, 9, 2)

    await harness.recorder.handle_batch([resolved(episode), resolved(episode)])
    await harness.recorder.handle_batch([resolved(episode)])

    assert harness.disposition_count("sudden_drop", "yes") == 1


async def test_an_episode_that_the_state_no_longer_holds_is_found_in_the_history() -> None:
    harness = AllianceHarness()
    first = await harness.apply_ratings(9, 9, 9, 9, 2, 9, 9)
    assert await harness.apply_ratings(9, 9, 9, 9, 2, 9, 9, 9, 9, 9, 2, 9, 9) != first

    await harness.recorder.handle_batch([resolved(first)])

    assert harness.disposition_count("sudden_drop", "yes") == 1


async def test_the_disposition_of_an_unknown_episode_is_recorded() -> None:
    harness = AllianceHarness()

    await harness.recorder.handle_batch([resolved(UUID(int=3))])

    assert harness.disposition_count("unknown", "yes") == 1
    assert len(await harness.store.dispositions([BUILDER.relationship_id])) == 1


async def test_a_disposition_changes_no_score() -> None:
    harness = AllianceHarness()
    episode = await harness.apply_ratings(9, 9, 9, 2)
    before = dict(harness.store.states)

    await harness.recorder.handle_batch([resolved(episode)])

    assert harness.store.states == before


async def test_the_dispositions_of_an_erased_client_are_deleted() -> None:
    harness = AllianceHarness()
    episode = await harness.apply_ratings(9, 9, 9, 2)
    await harness.recorder.handle_batch([resolved(episode)])

    await harness.projector.handle_batch([BUILDER.erased(5)])
    assert await harness.store.dispositions([BUILDER.relationship_id]) == []
    await harness.recorder.handle_batch([resolved(episode)])

    assert await harness.store.dispositions([BUILDER.relationship_id]) == []


async def test_a_disposition_that_was_taken_back_does_not_count_whichever_arrives_first() -> None:
    first, second = resolved(UUID(int=5), useful=False), resolved(UUID(int=6))
    back = reopened(first)
    events: list[AlertResolved | AlertReopened] = [first, second, back]
    for order in permutations(events):
        harness = AllianceHarness()
        for event in (*order, *order):
            await harness.recorder.handle_batch([event])

        relationships = [BUILDER.relationship_id]
        recorded = await harness.store.dispositions(relationships)
        counting = list_counting(recorded, await harness.store.reopenings(relationships))
        assert [disposition.id for disposition in counting] == [second.id]


async def test_the_reopenings_of_an_erased_client_are_deleted() -> None:
    harness = AllianceHarness()
    episode = await harness.apply_ratings(9, 9, 9, 2)
    back = reopened(resolved(episode))
    await harness.recorder.handle_batch([back])

    await harness.projector.handle_batch([BUILDER.erased(5)])
    await harness.recorder.handle_batch([back])

    assert await harness.store.reopenings([BUILDER.relationship_id]) == []


async def test_an_alert_counts_for_each_of_its_detectors_by_policy() -> None:
    harness = AllianceHarness()
    episode = await harness.apply_ratings(9, 9, 9, 2)
    await harness.recorder.handle_batch([resolved(episode), resolved(UUID(int=4), None)])

    precisions = measure_precision(await harness.store.dispositions([BUILDER.relationship_id]))

    assert Precision("unknown", "unknown", 0, 0, 1) in precisions
    assert [precision.useful_ratio for precision in precisions if precision.detector == "sudden_drop"] == [1.0]
    assert [precision.useful_ratio for precision in precisions if precision.detector == "unknown"] == [None]
