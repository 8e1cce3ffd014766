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

    def __init__(self, servers: str, group: str, shadow: Shadow, history: History, say: Say) -> None:
        self._servers = servers
        self._group = group
        self._shadow = shadow
        self._history = history
        self._say = say
        self._found = Verified()

    async def __call__(self, progress: Progress) -> Verified:
        """Compare everything. Raises StoreUnavailable and BrokerUnavailable."""
        sizes = await self._history.sizes()
        through, seen, read = 0, set[UUID](), list[tuple[Slice, Positions]]()
        progress(through, sum(sizes))
        for which, size in cut(sizes):
            positions: Positions = {}
            told, clinicians = await everything(self._history, which, positions)
            views = {r: take_in(new(r), events) for r, events in told.items()}
            suspects = {r: views[r] for page in pages(views) for r in await self._suspects(page, views)}
            await self._look_again(which, positions, suspects, await self._wrong(clinicians))
            seen |= views.keys()
            read.append((which, positions))
            through += size
            if through < sum(sizes):
                progress(through, sum(sizes))
        progress(sum(sizes), sum(sizes))
        self._found.compared = len(seen)
        await self._look_for_others(seen, read)
        return self._found

    async def _suspects(self, page: Sequence[UUID], views: Mapping[UUID, View]) -> list[UUID]:
        there = await self._shadow.there({r: views[r] for r in page})
        return [r for r in page if _found(there[r], views[r])]

    async def _wrong(self, told: Mapping[UUID, Clinician]) -> dict[UUID, Clinician]:
        there = await self._shadow.clinicians(told)
        return {which: last for which, last in told.items() if otherwise(last, there.get(which))}

    async def _look_again(
        self, which: Slice, positions: Positions, suspects: dict[UUID, View], clinicians: dict[UUID, Clinician]
    ) -> None:
        """Until each stands still: nothing was told of it while we looked, and the service had taken in all before."""
        give_up = time.monotonic() + PATIENCE
        while suspects or clinicians:
            heard = {topic.name: positions[topic.name] for topic in HEARD}
            left = give_up - time.monotonic()
            if not await until_taken_in(self._servers, self._group, which.partition, heard, left):
                self._found.on_its_way += len(suspects)
                return
            for clinician in sorted(await self._wrong(clinicians)):
                self._report(clinician, ["clinician"])
            clinicians = {}
            there = await self._shadow.there(suspects)
            since, _ = await everything(self._history, which, positions)
            for r in suspects.keys() - since.keys():
                self._report(r, _found(there[r], suspects.pop(r)))
            suspects = {r: take_in(view, since[r]) for r, view in suspects.items()}

    async def _look_for_others(self, seen: set[UUID], read: Sequence[tuple[Slice, Positions]]) -> None:
        """Relationships that are kept, and that the topics know nothing of."""
        others: set[UUID] = set()
        after: UUID | None = None
        while page := await self._shadow.page(after, PAGE):
            after = page[-1]
            others |= set(page) - seen
        if others:
            for which, positions in read:
                since, _ = await everything(self._history, which, positions)
                others -= since.keys()
        for r in sorted(others):
            self._report(r, ["not on the topics"])

    def _report(self, relationship: UUID, found: Sequence[str]) -> None:
        if found:
            self._found.different += 1
            self._say(f"{relationship}: {', '.join(found)}")


def _found(there: There, view: View) -> list[str]:
    return [*differences(there, view), *strangers(there, view)]
