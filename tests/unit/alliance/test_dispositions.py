"""What clinicians say of alerts is kept once, and counted for the detectors behind them."""

from uuid import UUID, uuid5

import pytest
from prometheus_client import CollectorRegistry

from services.alliance.domain.policy.policy import DEFAULT, Policies
from services.alliance.domain.state.history import Fact
from services.alliance.domain.tuning.dispositions import Precision, precision
from services.alliance.handlers.dispositions import Judge
from services.alliance.handlers.projector import Hear
from services.alliance.metrics import Metrics
from shared.events import AlertResolved, Event
from tests.support.builders import Told
from tests.support.fakes import AllianceStore

TOLD = Told(UUID("0d0b6d0e-7e9e-4a52-8a0a-38a4a4a4b001"))


class Clinic:
    """A service that has heard of one relationship with a fall in its fourth session."""

    def __init__(self) -> None:
        self.store, self.registry = AllianceStore(), CollectorRegistry()
        metrics = Metrics(self.registry)
        self.hear = Hear(self.store, self._tell, Policies(), metrics)
        self.judge = Judge(self.store, Policies(), metrics)

    async def _tell(self, events: object) -> None:
        pass

    async def hears(self, *ratings: float) -> UUID:
        events: list[Fact] = [TOLD.started(), TOLD.consent(-0.5, given=True)]
        events += [event for week, rating in enumerate(ratings) for event in (TOLD.held(week), TOLD.felt(week, rating))]
        await self.hear(events)
        alliance = self.store.kept[TOLD.relationship].alliance
        episode = alliance.open or alliance.closed
        assert episode
        return episode.id

    def counted(self, detector: str, useful: str) -> float | None:
        labels = {"detector": detector, "useful": useful}
        return self.registry.get_sample_value("attune_alliance_judged_alerts_total", labels)


def resolved(episode: UUID, useful: bool | None = True) -> AlertResolved:
    return AlertResolved(
        id=uuid5(episode, "resolved"),
        occurred_at=TOLD.at(9),
        relationship_id=TOLD.relationship,
        alert_id=uuid5(episode, "alert"),
        episode_id=episode,
        clinician_id=TOLD.started().clinician_id,
        useful=useful,
    )


@pytest.mark.parametrize(("useful", "label"), [(True, "yes"), (False, "no"), (None, "unsaid")])
async def test_it_is_counted_for_the_detectors_behind_the_episode(useful: bool | None, label: str) -> None:
    harness = Clinic()
    episode = await harness.hears(9, 9, 9, 2)

    await harness.judge([resolved(episode, useful)])

    assert harness.counted("sudden_drop", label) == 1
    (disposition,) = await harness.store.judgements([TOLD.relationship])
    assert (disposition.useful, disposition.policy) == (useful, DEFAULT.digest)


async def test_told_again_it_is_kept_and_counted_once() -> None:
    harness = Clinic()
    episode = await harness.hears(9, 9, 9, 2)

    await harness.judge([resolved(episode), resolved(episode)])
    await harness.judge([resolved(episode)])

    assert harness.counted("sudden_drop", "yes") == 1


async def test_an_episode_that_the_state_no_longer_holds_is_looked_for_in_the_history() -> None:
    harness = Clinic()
    first = await harness.hears(9, 9, 9, 9, 2, 9, 9)
    assert await harness.hears(9, 9, 9, 9, 2, 9, 9, 9, 9, 9, 2, 9, 9) != first

    await harness.judge([resolved(first)])

    assert harness.counted("sudden_drop", "yes") == 1


async def test_of_an_episode_that_nothing_is_known_of_the_judgement_is_kept() -> None:
    harness = Clinic()

    await harness.judge([resolved(UUID(int=3))])

    assert harness.counted("unknown", "yes") == 1
    assert len(await harness.store.judgements([TOLD.relationship])) == 1


async def test_it_moves_no_score() -> None:
    harness = Clinic()
    episode = await harness.hears(9, 9, 9, 2)
    before = dict(harness.store.kept)

    await harness.judge([resolved(episode)])

    assert harness.store.kept == before


async def test_of_a_client_who_is_forgotten_no_judgement_is_kept() -> None:
    harness = Clinic()
    episode = await harness.hears(9, 9, 9, 2)
    await harness.judge([resolved(episode)])
    erasure: list[Event] = [TOLD.erased(5)]

    await harness.hear(erasure)
    assert await harness.store.judgements([TOLD.relationship]) == []
    await harness.judge([resolved(episode)])

    assert await harness.store.judgements([TOLD.relationship]) == []


async def test_an_alert_counts_for_each_of_its_detectors_by_policy() -> None:
    harness = Clinic()
    episode = await harness.hears(9, 9, 9, 2)
    await harness.judge([resolved(episode), resolved(UUID(int=4), None)])

    precisions = precision(await harness.store.judgements([TOLD.relationship]))

    assert Precision("unknown", "unknown", 0, 0, 1) in precisions
    assert [each.share for each in precisions if each.detector == "sudden_drop"] == [1.0]
    assert [each.share for each in precisions if each.detector == "unknown"] == [None]
