"""What a change of the policy does to open episodes, their ids and the dispositions of their alerts."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import Policies, Policy
from services.alliance.domain.state.alliance import Episode
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.domain.tuning.dispositions import UNKNOWN, measure_precision
from services.alliance.handlers.dispositions import DispositionRecorder
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from services.alliance.store.memory import InMemoryStore
from shared.events import AllianceUpdated, Event, RuptureEvent, RuptureSuspected
from tests.unit.alliance.rated_relationship import BUILDER, START_EVENTS, rated_sessions

SENSITIVE, STRICT = Policy(watch=0.06, concern=0.08), Policy(watch=0.9, concern=0.9, urgent=0.95)
USUAL = [*START_EVENTS, *rated_sessions(9, 8, 9, 8, 9, 8)]
RUPTURE = rated_sessions(6, first=6)
NEXT = [BUILDER.completed(7)]


class Service:
    """Alliance in memory; it is restarted with each change of the policies."""

    def __init__(self) -> None:
        self.store = InMemoryStore()
        self.published: list[Event] = []

    async def handle(self, events: Sequence[HistoryEvent], policy: Policy) -> list[Event]:
        """Handle these events under the policy; return what is published."""
        self.published.clear()
        metrics = Metrics(CollectorRegistry())
        await AllianceProjector(self.store, self._publish, Policies(policy), metrics).handle_batch(events)
        return list(self.published)

    async def _publish(self, events: Sequence[Event]) -> None:
        self.published += events


def episode_of(events: Sequence[HistoryEvent], policy: Policy) -> Episode:
    episode = fold(events, policy).open_episode
    assert episode is not None
    return episode


async def test_an_episode_that_the_new_policy_does_not_find_is_named_no_longer_at_the_next_event() -> None:
    service = Service()
    raised = await service.handle([*USUAL, *RUPTURE], SENSITIVE)

    published = await service.handle(NEXT, STRICT)

    assert [type(event) for event in raised] == [RuptureSuspected, AllianceUpdated]
    (updated,) = published
    assert isinstance(updated, AllianceUpdated)
    assert (updated.open_episode_id, updated.policy) == (None, STRICT.digest)


async def test_an_episode_that_the_new_policy_finds_is_published_at_the_next_event_with_its_first_sign() -> None:
    service = Service()
    await service.handle([*USUAL, *RUPTURE], STRICT)

    published = await service.handle(NEXT, SENSITIVE)

    (rupture,) = (event for event in published if isinstance(event, RuptureEvent))
    assert rupture.first_sign_at == RUPTURE[-1].occurred_at


def test_an_episode_with_the_same_first_sign_is_the_same_under_another_policy() -> None:
    other = Policy(watch=0.06, concern=0.2)
    same, earlier = [*USUAL, *RUPTURE], [*USUAL, BUILDER.feedback(6, 7), BUILDER.completed(7), BUILDER.feedback(7, 3)]

    assert episode_of(same, SENSITIVE).id == episode_of(same, other).id
    assert episode_of(earlier, SENSITIVE).id != episode_of(earlier, STRICT).id, "the floor opens it one session later"


async def test_a_disposition_about_an_episode_that_no_longer_exists_stays_and_opens_nothing() -> None:
    """It counts for the policy that raised the alert, and not for the new one."""
    service, resolved = Service(), BUILDER.resolved(episode_of([*USUAL, *RUPTURE], SENSITIVE).id, 6.5)
    await service.handle([*USUAL, *RUPTURE], SENSITIVE)
    recorder = DispositionRecorder(service.store, Policies(SENSITIVE), Metrics(CollectorRegistry()))
    await recorder.handle_batch([resolved])

    await service.handle([resolved, *NEXT, BUILDER.feedback(7, 6)], STRICT)

    alliance = service.store.states[BUILDER.relationship_id].alliance
    assert (alliance.open_episode, alliance.resolved_level, alliance.last_ended) == (None, None, None)
    (disposition,) = await service.store.dispositions([BUILDER.relationship_id])
    assert {precision.policy for precision in measure_precision([disposition])} == {SENSITIVE.digest}


async def test_a_disposition_that_comes_after_its_episode_was_lost_counts_for_no_policy() -> None:
    service, resolved = Service(), BUILDER.resolved(episode_of([*USUAL, *RUPTURE], SENSITIVE).id, 6.5)
    await service.handle([*USUAL, *RUPTURE], STRICT)

    await DispositionRecorder(service.store, Policies(STRICT), Metrics(CollectorRegistry())).handle_batch([resolved])

    dispositions = await service.store.dispositions([BUILDER.relationship_id])
    assert {precision.policy for precision in measure_precision(dispositions)} == {UNKNOWN}
