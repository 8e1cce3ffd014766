"""Which alerts another policy would have raised on the recorded history; nothing is written."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from services.alliance.domain.policy.policy import Policies, Policy
from services.alliance.domain.state.history import HistoryEvent, clinic_of
from services.alliance.domain.tuning.dispositions import Disposition, list_counting
from services.alliance.domain.tuning.replay import (
    ClinicianWeek,
    EpisodeChange,
    ReplayedEpisode,
    appointment_weeks,
    compare_episodes,
    replay_episodes,
)
from services.alliance.store.protocol import Store
from shared.access.clinic_id import ClinicId

PAGE_SIZE = 50
"""Relationships that are read at once: a few thousand events."""

ReportProgress = Callable[[int, int], None]
"""Called with the number of relationships read so far, and with their total."""


@dataclass
class Backtest:
    """The result of two policies on the same history."""

    new_policy: Policy
    policies_in_force: set[str] = field(default_factory=set)
    """The digests of the policies in force: a clinic may have its own."""
    relationships: int = 0
    weeks: set[ClinicianWeek] = field(default_factory=set)
    changes: list[EpisodeChange] = field(default_factory=list)
    dispositions: list[Disposition] = field(default_factory=list)


async def run_backtest(
    store: Store, policies: Policies, new_policy: Policy, clinic: ClinicId | None, report_progress: ReportProgress
) -> Backtest:
    """Replay every relationship, or those of one clinic, under the policy in force and under the new one."""
    result = Backtest(new_policy)
    async for page in read_histories(store, clinic, report_progress):
        dispositions = list_counting(await store.dispositions(page), await store.reopenings(page))
        for relationship, events in page.items():
            policy = policies.policy_for(clinic_of(events))
            old_episodes = replay_episodes(events, policy)
            result.policies_in_force.add(policy.digest)
            result.relationships += 1
            result.weeks |= appointment_weeks(events)
            result.changes += compare_episodes(old_episodes, replay_episodes(events, new_policy))
            own_dispositions = [disposition for disposition in dispositions if disposition.relationship == relationship]
            result.dispositions += [
                _complete_disposition(disposition, old_episodes, policy) for disposition in own_dispositions
            ]
    return result


async def read_histories(
    store: Store, clinic: ClinicId | None, report_progress: ReportProgress
) -> AsyncIterator[dict[UUID, Sequence[HistoryEvent]]]:
    """The history of every relationship, a page at a time."""
    count, read_count = await store.count(clinic), 0
    report_progress(read_count, count)
    after: UUID | None = None
    while page := await store.page(clinic, after, PAGE_SIZE):
        after = page[-1]
        yield dict(await store.history(page))
        read_count += len(page)
        report_progress(read_count, max(read_count, count))


def _complete_disposition(disposition: Disposition, episodes: Iterable[ReplayedEpisode], policy: Policy) -> Disposition:
    """Add what had raised the alert, if that was not known when the disposition was recorded."""
    if disposition.detectors:
        return disposition
    episode = next((candidate for candidate in episodes if candidate.episode_id == disposition.episode), None)
    return replace(disposition, detectors=episode.detectors, policy=policy.digest) if episode else disposition
