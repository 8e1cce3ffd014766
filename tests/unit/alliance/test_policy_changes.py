"""What a change of the policy does to open episodes, their ids and the dispositions of their alerts."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from prometheus_client import CollectorRegistry

from services.alliance.domain.fold import FoldResult, fold, refold
from services.alliance.domain.policy.policy import Policies, Policy
from services.alliance.domain.retrospect import mark_rebuilt
from services.alliance.domain.state.alliance import Alliance, Episode, RetrospectiveSign
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.domain.tuning.dispositions import UNKNOWN, measure_precision
from services.alliance.handlers.dispositions import DispositionRecorder
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from services.alliance.store.memory import InMemoryStore
from services.alliance.store.protocol import VersionedState
from shared.events import AllianceUpdated, Event, RuptureEvent, RuptureRepaired, RuptureSuspected
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

    async def handle(self, events: Sequence[HistoryEvent], policy: Policy | Policies) -> list[Event]:
        """Handle these events under the policy; return what is published."""
        self.published.clear()
        metrics = Metrics(CollectorRegistry())
        policies = policy if isinstance(policy, Policies) else Policies(policy)
        await AllianceProjector(self.store, self._publish, policies, metrics).handle_batch(events)
        return list(self.published)

    async def rebuild(self, events: Sequence[HistoryEvent], policy: Policy) -> None:
        """Store what a rebuild makes of these events, some of which may not have been handled yet."""
        await self.store.append(events)
        state = VersionedState(BUILDER.relationship_id, mark_rebuilt(refold(events, policy)), 5)
        self.store.states[BUILDER.relationship_id] = state

    async def _publish(self, events: Sequence[Event]) -> None:
        self.published += events


def only_rupture(published: Sequence[Event]) -> RuptureEvent:
    (rupture,) = (event for event in published if isinstance(event, RuptureEvent))
    return rupture


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

    rupture = only_rupture(published)
    assert rupture.first_sign_at == RUPTURE[-1].occurred_at
    assert rupture.retrospective


async def test_an_episode_stays_retrospective_until_a_sign_is_added() -> None:
    service = Service()
    await service.handle([*USUAL, *RUPTURE], STRICT)
    await service.handle(NEXT, SENSITIVE)

    same_signs = only_rupture(await service.handle([BUILDER.completed(8)], SENSITIVE))
    new_sign = only_rupture(await service.handle([BUILDER.feedback(8, 5)], SENSITIVE))

    assert (same_signs.retrospective, new_sign.retrospective) == (True, False)
    assert new_sign.episode_id == same_signs.episode_id


async def test_a_sign_that_arrives_first_after_the_change_is_not_retrospective() -> None:
    """Also one in an episode that the new policy finds in the history."""
    for history in (USUAL, [*USUAL, *RUPTURE]):
        service = Service()
        await service.handle(history, STRICT)

        published = await service.handle(rated_sessions(5, first=7), SENSITIVE)

        assert not only_rupture(published).retrospective


async def test_a_refold_that_is_repeated_publishes_the_same() -> None:
    """As after a crash between saving and publishing, when the state is already stored under the new policy."""
    service = Service()
    await service.handle([*USUAL, *RUPTURE], STRICT)

    first, second = [await service.handle(NEXT, SENSITIVE) for _ in range(2)]

    assert only_rupture(first).retrospective
    assert second == first


async def test_a_late_event_or_an_amendment_under_the_same_policy_is_not_retrospective() -> None:
    """Also about an episode that was found in retrospect before."""
    amended = BUILDER.amended(6, 3)
    for raised in (True, False):
        service, other = Service(), STRICT if raised else SENSITIVE
        await service.handle([*USUAL, *(RUPTURE if raised else rated_sessions(9, first=6))], other)
        await service.handle(NEXT, SENSITIVE)

        published = await service.handle([amended], SENSITIVE)

        assert not only_rupture(published).retrospective


async def test_a_correction_that_makes_the_signs_weaker_leaves_an_episode_retrospective() -> None:
    service = Service()
    await service.handle([*USUAL, *RUPTURE], STRICT)
    before = only_rupture(await service.handle(NEXT, SENSITIVE))

    after = only_rupture(await service.handle([BUILDER.amended(6, 6.3)], SENSITIVE))

    assert after.probability is not None
    assert before.probability is not None
    assert after.probability < before.probability
    assert after.retrospective


async def test_a_clinic_that_is_known_late_is_no_change_of_the_policy() -> None:
    service, (started, consent) = Service(), START_EVENTS
    policies = Policies(STRICT, {BUILDER.started().clinic_id: SENSITIVE})
    await service.handle([consent, *USUAL[2:], *RUPTURE], policies)

    published = await service.handle([started], policies)

    assert not only_rupture(published).retrospective


async def test_an_episode_that_the_new_policy_finds_and_that_is_over_is_retrospective() -> None:
    service = Service()
    await service.handle([*USUAL, *RUPTURE, *rated_sessions(9, 9, 9, first=7)], STRICT)

    rupture = only_rupture(await service.handle([BUILDER.completed(10)], SENSITIVE))

    assert (type(rupture), rupture.retrospective) == (RuptureRepaired, True)


async def test_every_episode_that_the_new_policy_finds_is_retrospective() -> None:
    service = Service()
    await service.handle([*USUAL, *RUPTURE, *rated_sessions(9, 9, 9, 6, first=7)], STRICT)

    published = await service.handle([BUILDER.completed(11)], SENSITIVE)

    found = [event for event in published if isinstance(event, RuptureEvent)]
    assert [type(event) for event in found] == [RuptureRepaired, RuptureSuspected]
    assert all(event.retrospective for event in found)


def test_an_older_episode_that_a_late_event_opens_is_not_retrospective() -> None:
    """Unlike one that has ended before the last sign that was found in retrospect."""
    episode = episode_of([*USUAL, *RUPTURE], SENSITIVE)
    later = RetrospectiveSign(uuid4(), BUILDER.at(9), "urgent", 1.0)
    result = FoldResult(Alliance(), retrospective=later)

    assert not result.is_retrospective(episode, is_open=True)
    assert result.is_retrospective(episode, is_open=False)


def test_a_later_sign_is_not_retrospective_even_if_it_is_weaker() -> None:
    episode = episode_of([*USUAL, *RUPTURE], SENSITIVE)
    found = RetrospectiveSign.of(episode)

    assert found.covers(episode)
    assert not found.covers(replace(episode, last_sign_at=BUILDER.at(7)))


async def test_a_sign_of_after_the_change_is_not_retrospective_when_older_events_are_repeated() -> None:
    service = Service()
    await service.handle([*USUAL, *RUPTURE], STRICT)
    await service.handle(NEXT, SENSITIVE)
    await service.handle([BUILDER.feedback(7, 5)], SENSITIVE)

    published = await service.handle(NEXT, SENSITIVE)

    assert not only_rupture(published).retrospective


async def test_a_retrospective_episode_whose_resolution_is_taken_back_is_still_retrospective() -> None:
    service, resolved = Service(), BUILDER.resolved(episode_of([*USUAL, *RUPTURE], SENSITIVE).id, 6.5)
    await service.handle([*USUAL, *RUPTURE], STRICT)
    await service.handle(NEXT, SENSITIVE)
    await service.handle([resolved], SENSITIVE)

    published = await service.handle([BUILDER.taken_back(resolved, 6.6)], SENSITIVE)

    assert only_rupture(published).retrospective


async def test_a_sign_that_a_rebuild_has_folded_first_is_no_longer_retrospective_once_it_is_handled() -> None:
    """The rebuild reads the topics to their ends, the service has not consumed them yet. One version says one thing."""
    service, history = Service(), [*USUAL, *RUPTURE]
    await service.handle(USUAL, SENSITIVE)
    await service.rebuild(history, SENSITIVE)

    no_sign = only_rupture(await service.handle(NEXT, SENSITIVE))
    sign = only_rupture(await service.handle(RUPTURE, SENSITIVE))
    repeated = only_rupture(await service.handle(RUPTURE, SENSITIVE))

    assert (no_sign.retrospective, sign.retrospective) == (True, False)
    assert sign.version == no_sign.version + 1
    assert repeated == sign


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
