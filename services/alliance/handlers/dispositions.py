"""Handles the alerts that clinicians resolved or reopened: each is recorded, and resolutions are counted."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeAlias
from uuid import UUID

from services.alliance.domain.policy.policy import Policies
from services.alliance.domain.state.alliance import Episode
from services.alliance.domain.tuning.dispositions import (
    create_disposition,
    create_reopening,
    find_current_episode,
    find_past_episode,
)
from services.alliance.metrics import Metrics
from services.alliance.store.protocol import Store, VersionedState
from shared.events import AlertReopened, AlertResolved

DispositionEvent: TypeAlias = AlertResolved | AlertReopened


class DispositionRecorder:
    """Records what clinicians decided about alerts, for reports and metrics. The fold has its own copy."""

    def __init__(self, store: Store, policies: Policies, metrics: Metrics) -> None:
        self._store = store
        self._policies = policies
        self._metrics = metrics

    async def handle_batch(self, events: Sequence[DispositionEvent]) -> None:
        """Record each once, resolutions with the detectors of their episodes as they are now. Idempotent.

        The order does not matter: what was reopened is subtracted when dispositions are read.
        """
        loaded = await self._store.load({event.relationship_id for event in events})
        known = [event for event in events if loaded[event.relationship_id].alliance.erasure_id is None]
        accepted = [event for event in known if isinstance(event, AlertResolved)]
        reopenings = [create_reopening(event) for event in known if isinstance(event, AlertReopened)]
        if reopenings:
            await self._store.record_reopenings(reopenings)
        if not accepted:
            return
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
            history = histories[event.relationship_id]  # in a thread, because a long one would block the event loop
            episodes[event.episode_id] = await asyncio.to_thread(find_past_episode, history, event.episode_id, policy)
        return {episode_id: episode for episode_id, episode in episodes.items() if episode is not None}
