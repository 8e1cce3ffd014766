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
        facts: list[Fact] = [TOLD.started(), TOLD.consent(-0.5, given=True)]
        facts += [f for week, rating in enumerate(ratings) for f in (TOLD.held(week), TOLD.felt(week, rating))]
        await self.hear(facts)
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
    clinic = Clinic()
    episode = await clinic.hears(9, 9, 9, 2)

    await clinic.judge([resolved(episode, useful)])

    assert clinic.counted("sudden_drop", label) == 1
    (kept,) = await clinic.store.judgements([TOLD.relationship])
    assert (kept.useful, kept.policy) == (useful, DEFAULT.digest)


async def test_told_again_it_is_kept_and_counted_once() -> None:
    clinic = Clinic()
    episode = await clinic.hears(9, 9, 9, 2)

    await clinic.judge([resolved(episode), resolved(episode)])
    await clinic.judge([resolved(episode)])

    assert clinic.counted("sudden_drop", "yes") == 1


async def test_an_episode_that_the_state_no_longer_holds_is_looked_for_in_the_history() -> None:
    clinic = Clinic()
    first = await clinic.hears(9, 9, 9, 9, 2, 9, 9)
    assert await clinic.hears(9, 9, 9, 9, 2, 9, 9, 9, 9, 9, 2, 9, 9) != first

    await clinic.judge([resolved(first)])

    assert clinic.counted("sudden_drop", "yes") == 1


async def test_of_an_episode_that_nothing_is_known_of_the_judgement_is_kept() -> None:
    clinic = Clinic()

    await clinic.judge([resolved(UUID(int=3))])

    assert clinic.counted("unknown", "yes") == 1
    assert len(await clinic.store.judgements([TOLD.relationship])) == 1


async def test_it_moves_no_score() -> None:
    clinic = Clinic()
    episode = await clinic.hears(9, 9, 9, 2)
    before = dict(clinic.store.kept)

    await clinic.judge([resolved(episode)])

    assert clinic.store.kept == before


async def test_of_a_client_who_is_forgotten_no_judgement_is_kept() -> None:
    clinic = Clinic()
    episode = await clinic.hears(9, 9, 9, 2)
    await clinic.judge([resolved(episode)])
    erasure: list[Event] = [TOLD.erased(5)]

    await clinic.hear(erasure)
    assert await clinic.store.judgements([TOLD.relationship]) == []
    await clinic.judge([resolved(episode)])

    assert await clinic.store.judgements([TOLD.relationship]) == []


async def test_an_alert_counts_for_each_of_its_detectors_by_policy() -> None:
    clinic = Clinic()
    episode = await clinic.hears(9, 9, 9, 2)
    await clinic.judge([resolved(episode), resolved(UUID(int=4), None)])

    counted = precision(await clinic.store.judgements([TOLD.relationship]))

    assert Precision("unknown", "unknown", 0, 0, 1) in counted
    assert [each.share for each in counted if each.detector == "sudden_drop"] == [1.0]
    assert [each.share for each in counted if each.detector == "unknown"] == [None]
