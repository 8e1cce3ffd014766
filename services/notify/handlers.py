"""What we do with a batch of events: a few round trips, however large it is, then what follows is told."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import reduce
from uuid import UUID

from services.notify.delivery import Deliver
from services.notify.domain import relationship as relationships
from services.notify.domain.alert import Alert, alert_id, follow, raised
from services.notify.domain.relationship import Fact, Relationship
from services.notify.metrics import Metrics
from services.notify.store import Kept, Store
from shared.events import (
    ClinicianRegistered,
    ClinicianUpdated,
    Event,
    RelationshipEvent,
    RelationshipStarted,
    RuptureEvent,
)

Tell = Callable[[Sequence[Event]], Awaitable[None]]
About = dict[UUID, list[RelationshipEvent]]


class Alerting:
    """Raises alerts, and keeps them true."""

    def __init__(self, store: Store, deliver: Deliver, tell: Tell, metrics: Metrics) -> None:
        self._store = store
        self._deliver = deliver
        self._tell = tell
        self._metrics = metrics

    async def __call__(self, events: Sequence[Event]) -> None:
        """Take `events` in; then see to it that who needs to hear of an alert does.

        Safe to repeat, in any order and any grouping: the same events give the same alerts. What is owed follows
        from the alerts as they stand, also when nothing changed, because the try before may have died in between.
        """
        await self._store.know(e for e in events if isinstance(e, ClinicianRegistered | ClinicianUpdated))
        about = _by_relationship(events)
        known = await self._take_in(about)
        await self._forget(known)
        alerts = await self._follow(about, known)
        await self._deliver.owe(alerts)
        await self._tell([event for alert in alerts for event in _news(alert, about[alert.relationship_id])])

    async def _take_in(self, about: About) -> dict[UUID, Relationship]:
        """What is known of each relationship, with what is new."""
        known: dict[UUID, Relationship] = {}
        waiting = about
        while waiting:
            kept = await self._store.relationships(waiting)
            new = {r: _evolved(kept[r].is_now, own) for r, own in waiting.items()}
            changed = [Kept(r, new[r], kept[r].version) for r in new if new[r] != kept[r].is_now]
            lost = await self._store.keep_relationships(changed)
            self._metrics.conflicts(len(lost))
            known |= {r: new[r] for r in new if r not in lost}
            waiting = {r: waiting[r] for r in lost}
        return known

    async def _forget(self, known: Mapping[UUID, Relationship]) -> None:
        if erased := [r for r, relationship in known.items() if relationship.erased]:
            await self._store.forget_alerts_of(erased)

    async def _follow(self, about: About, known: Mapping[UUID, Relationship]) -> list[Alert]:
        """The alerts that these relationships touch, as they stand now."""
        standing: list[Alert] = []
        waiting = {r: own for r, own in about.items() if not known[r].erased}
        while waiting:
            episodes = {alert_id(e.episode_id) for own in waiting.values() for e in own if isinstance(e, RuptureEvent)}
            kept = {k.id: k for k in await self._store.alerts_of(episodes, waiting)}
            new = _standing({i: k.is_now for i, k in kept.items()}, waiting, known)
            changed = [
                Kept(i, alert, kept[i].version if i in kept else 0)
                for i, alert in new.items()
                if i not in kept or alert != kept[i].is_now
            ]
            lost = await self._store.keep_alerts(changed)
            self._metrics.conflicts(len(lost))
            self._count([k.is_now for k in changed if k.id not in lost], kept)
            again = {new[i].relationship_id for i in lost}
            standing += [alert for alert in new.values() if alert.relationship_id not in again]
            waiting = {r: waiting[r] for r in again}
        return standing

    def _count(self, written: Iterable[Alert], before: Mapping[UUID, Kept[Alert]]) -> None:
        for alert in written:
            known = len(before[alert.id].is_now.rises) if alert.id in before else 0
            for severity, step in alert.rises[known:]:
                self._metrics.raised(severity, step.recorded_at)
            if alert.id in before and before[alert.id].is_now.unsettled:
                self._metrics.settled(alert.severity, alert.status)


def _by_relationship(events: Sequence[Event]) -> About:
    found: defaultdict[UUID, list[RelationshipEvent]] = defaultdict(list)
    for event in events:
        if isinstance(event, RelationshipEvent):
            found[event.relationship_id].append(event)
    return dict(found)


def _evolved(relationship: Relationship, events: Iterable[RelationshipEvent]) -> Relationship:
    return reduce(relationships.evolve, (e for e in events if isinstance(e, Fact)), relationship)


def _standing(kept: Mapping[UUID, Alert], about: About, known: Mapping[UUID, Relationship]) -> dict[UUID, Alert]:
    """The alerts by their ids, with what was told. An episode is of one relationship; another is not believed."""
    before: defaultdict[UUID, dict[UUID, Alert]] = defaultdict(dict)
    for i, alert in kept.items():
        before[alert.relationship_id][i] = alert
    new: dict[UUID, Alert] = {}
    for r, own in about.items():
        told = [e for e in own if isinstance(e, RuptureEvent)]
        believed = [e for e in told if alert_id(e.episode_id) in before[r] or alert_id(e.episode_id) not in kept]
        new |= follow(before[r], believed, known[r])
    return new


def _news(alert: Alert, own: Sequence[RelationshipEvent]) -> list[Event]:
    """What others are told of the alert: what these events brought about, be it now or at a try before."""
    versions = {e.version for e in own if isinstance(e, RuptureEvent) and e.episode_id == alert.episode_id}
    just_known = any(isinstance(e, RelationshipStarted) for e in own)
    return [event for version, event in raised(alert) if just_known or version in versions]
