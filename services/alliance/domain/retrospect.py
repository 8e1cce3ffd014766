"""What was found in retrospect: by a rebuild, or because the rules have changed since the signs arrived.

Clinicians see such an episode in the inbox and are sent no message about it, until a new sign is added to it. A late
event or a correction under the same rules is a new sign like any other.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from services.alliance.domain.fold import FoldResult, refold
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Episode, RetrospectiveSign
from services.alliance.domain.state.history import HistoryEvent


def mark_rebuilt(result: FoldResult) -> FoldResult:
    """The result of a rebuild, which finds everything in retrospect."""
    return replace(result, retrospective=_last_sign(_list_episodes(result)))


def refold_marked(
    history: Sequence[HistoryEvent],
    new_events: Sequence[HistoryEvent],
    policy: Policy,
    before: FoldResult,
    *,
    rules_changed: bool,
) -> FoldResult:
    """Fold the whole history, of which `new_events` have just arrived.

    If the rules have changed since the fold `before`, everything that they find without the new events is found in
    retrospect; otherwise only what was so before.
    """
    result = refold(history, policy)
    if not (rules_changed or before.retrospective) or not any(_list_episodes(result)):
        return result
    new_ids = {event.id for event in new_events}
    found = _list_episodes(refold([event for event in history if event.id not in new_ids], policy))
    if not rules_changed:
        found = (each for each in found if before.retrospective and before.retrospective.covers(each))
    return replace(result, retrospective=_last_sign(found))


def _last_sign(episodes: Iterable[Episode]) -> RetrospectiveSign | None:
    last = max(episodes, key=lambda episode: episode.last_sign_at, default=None)
    return RetrospectiveSign.of(last) if last else None


def _list_episodes(result: FoldResult) -> Iterator[Episode]:
    yield from result.repaired_episodes
    yield from (ended.episode for ended in result.ended_episodes)
    if result.last_retraction is not None:
        yield result.last_retraction.episode
    if result.alliance.open_episode is not None:
        yield result.alliance.open_episode
