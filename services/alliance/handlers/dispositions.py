"""What we do with what clinicians say of their alerts: it is kept, and counted for the detectors behind them."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from services.alliance.domain.policy.policy import Policies
from services.alliance.domain.state.alliance import Episode
from services.alliance.domain.tuning.dispositions import judged, read_back, remembered
from services.alliance.metrics import Metrics
from services.alliance.store.mongo import Kept, Store
from shared.events import AlertResolved


class Judge:
    """Keeps what clinicians say of alerts. No score depends on it."""

    def __init__(self, store: Store, policies: Policies, metrics: Metrics) -> None:
        self._store = store
        self._policies = policies
        self._metrics = metrics

    async def __call__(self, resolved: Sequence[AlertResolved]) -> None:
        """Keep each once, with the detectors behind its episode as it stands now. Safe to repeat."""
        kept = await self._store.recall({event.relationship_id for event in resolved})
        wanted = [event for event in resolved if kept[event.relationship_id].alliance.erasure is None]
        episodes = await self._episodes(wanted, kept)
        new = await self._store.judge(
            [judged(event, episodes.get(event.episode_id), kept[event.relationship_id].read.policy) for event in wanted]
        )
        self._metrics.judged(new)

    async def _episodes(self, resolved: Sequence[AlertResolved], kept: Mapping[UUID, Kept]) -> dict[UUID, Episode]:
        """The episodes that were judged; one that the state no longer holds is looked for in the history."""
        found = {e.episode_id: remembered(kept[e.relationship_id].alliance, e.episode_id) for e in resolved}
        older = [event for event in resolved if found[event.episode_id] is None]
        histories = await self._store.history({event.relationship_id for event in older}) if older else {}
        for event in older:
            policy = self._policies.of(kept[event.relationship_id].alliance.clinic_id)
            found[event.episode_id] = read_back(histories[event.relationship_id], event.episode_id, policy)
        return {episode_id: episode for episode_id, episode in found.items() if episode is not None}
