"""Handles the alerts that clinicians resolved: each is recorded, and counted for the detectors of its episode."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from services.alliance.domain.policy.policy import Policies
from services.alliance.domain.state.alliance import Episode
from services.alliance.domain.tuning.dispositions import create_disposition, find_current_episode, find_past_episode
from services.alliance.metrics import Metrics
from services.alliance.store.protocol import Store, VersionedState
from shared.events import AlertResolved


class DispositionRecorder:
    """Records what clinicians decided about alerts. No score depends on it."""

    def __init__(self, store: Store, policies: Policies, metrics: Metrics) -> None:
        self._store = store
        self._policies = policies
        self._metrics = metrics

    async def handle_batch(self, resolved: Sequence[AlertResolved]) -> None:
        """Record each once, with the detectors of its episode as it is now. Idempotent."""
        loaded = await self._store.load({event.relationship_id for event in resolved})
        accepted = [event for event in resolved if loaded[event.relationship_id].alliance.erasure_id is None]
        episodes = await self._find_episodes(accepted, loaded)
        recorded = await self._store.record_dispositions(
            [
                create_disposition(
                    event, episodes.get(event.episode_id), loaded[event.relationship_id].result.policy_digest
                )
                for event in accepted
            ]
        )
        self._metrics.count_dispositions(recorded)

    async def _find_episodes(
        self, resolved: Sequence[AlertResolved], loaded: Mapping[UUID, VersionedState]
    ) -> dict[UUID, Episode]:
        """The episodes of the resolved alerts; one that the state no longer holds is searched for in the history."""
        episodes = {
            event.episode_id: find_current_episode(loaded[event.relationship_id].alliance, event.episode_id)
            for event in resolved
        }
        missing = [event for event in resolved if episodes[event.episode_id] is None]
        histories = await self._store.history({event.relationship_id for event in missing}) if missing else {}
        for event in missing:
            policy = self._policies.policy_for(loaded[event.relationship_id].alliance.clinic_id)
            episodes[event.episode_id] = find_past_episode(histories[event.relationship_id], event.episode_id, policy)
        return {episode_id: episode for episode_id, episode in episodes.items() if episode is not None}
