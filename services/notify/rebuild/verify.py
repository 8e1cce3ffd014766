"""Seeing whether the view of notify is what the topics say, while the service runs; nothing is written.

What differs at first sight may only be on its way. So it is looked at again, once the service has committed all that
lay on the topics, until it stands still: a difference that is reported is one.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.notify.domain.projection import View, take_in
from services.notify.rebuild.rebuild import HEARD, Clinician, everything, new, otherwise, pages
from services.notify.rebuild.staging import Shadow, There, differences, strangers
from shared.kafka.topic_reader import History, Positions, Slice, until_taken_in
from shared.rebuild.job import cut

PATIENCE = 30.0
"""Seconds for the service to take in what lies on the topics; what is still on its way then is not compared."""
PAGE = 5_000

Progress = Callable[[int, int], None]
"""Told how many messages were compared, of how many."""
Say = Callable[[str], None]


@dataclass(slots=True)
class Verified:
    """What came out of it, in relationships."""

    compared: int = 0
    different: int = 0
    on_its_way: int = 0
    """Of which the service has not taken in yet all that was told."""


class Verify:
    """Compares the view with the topics; `say` is told of each difference by its names, never of what anybody said."""

    def __init__(self, servers: str, group: str, staging: Shadow, history: History, say: Say) -> None:
        self._servers = servers
        self._group = group
        self._shadow = staging
        self._history = history
        self._say = say
        self._found = Verified()

    async def __call__(self, progress: Progress) -> Verified:
        """Compare everything. Raises StoreUnavailable and BrokerUnavailable."""
        sizes = await self._history.sizes()
        processed, seen, slices = 0, set[UUID](), list[tuple[Slice, Positions]]()
        progress(processed, sum(sizes))
        for topic_slice, size in cut(sizes):
            offsets: Positions = {}
            events_by_relationship, clinicians = await everything(self._history, topic_slice, offsets)
            projections = {r: take_in(new(r), events) for r, events in events_by_relationship.items()}
            suspects = {
                r: projections[r] for page in pages(projections) for r in await self._suspects(page, projections)
            }
            await self._look_again(topic_slice, offsets, suspects, await self._wrong(clinicians))
            seen |= projections.keys()
            slices.append((topic_slice, offsets))
            processed += size
            if processed < sum(sizes):
                progress(processed, sum(sizes))
        progress(sum(sizes), sum(sizes))
        self._found.compared = len(seen)
        await self._look_for_others(seen, slices)
        return self._found

    async def _suspects(self, page: Sequence[UUID], projections: Mapping[UUID, View]) -> list[UUID]:
        current = await self._shadow.there({r: projections[r] for r in page})
        return [r for r in page if _found(current[r], projections[r])]

    async def _wrong(self, told: Mapping[UUID, Clinician]) -> dict[UUID, Clinician]:
        stored = await self._shadow.clinicians(told)
        return {
            clinician_id: latest for clinician_id, latest in told.items() if otherwise(latest, stored.get(clinician_id))
        }

    async def _look_again(
        self, topic_slice: Slice, offsets: Positions, suspects: dict[UUID, View], clinicians: dict[UUID, Clinician]
    ) -> None:
        """Until each stands still: nothing was told of it while we looked, and the service had taken in all before."""
        deadline = time.monotonic() + PATIENCE
        while suspects or clinicians:
            consumed_offsets = {topic.name: offsets[topic.name] for topic in HEARD}
            seconds_left = deadline - time.monotonic()
            if not await until_taken_in(
                self._servers, self._group, topic_slice.partition, consumed_offsets, seconds_left
            ):
                self._found.on_its_way += len(suspects)
                return
            for clinician in sorted(await self._wrong(clinicians)):
                self._report(clinician, ["clinician"])
            clinicians = {}
            current = await self._shadow.there(suspects)
            newer_events, _ = await everything(self._history, topic_slice, offsets)
            for r in suspects.keys() - newer_events.keys():
                self._report(r, _found(current[r], suspects.pop(r)))
            suspects = {r: take_in(projection, newer_events[r]) for r, projection in suspects.items()}

    async def _look_for_others(self, seen: set[UUID], read: Sequence[tuple[Slice, Positions]]) -> None:
        """Relationships that are kept, and that the topics know nothing of."""
        unexpected: set[UUID] = set()
        after: UUID | None = None
        while page := await self._shadow.page(after, PAGE):
            after = page[-1]
            unexpected |= set(page) - seen
        if unexpected:
            for topic_slice, offsets in read:
                newer_events, _ = await everything(self._history, topic_slice, offsets)
                unexpected -= newer_events.keys()
        for r in sorted(unexpected):
            self._report(r, ["not on the topics"])

    def _report(self, relationship: UUID, found_differences: Sequence[str]) -> None:
        if found_differences:
            self._found.different += 1
            self._say(f"{relationship}: {', '.join(found_differences)}")


def _found(current: There, projection: View) -> list[str]:
    return [*differences(current, projection), *strangers(current, projection)]
