"""Seeing whether the view of notify is what the topics say, while the service runs; nothing is written.

What differs at first sight may only be on its way. So it is looked at again, once the service has committed all that
lay on the topics, until it stands still: a difference that is reported is one.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.notify.domain.projection import RelationshipProjection, fold_forward
from services.notify.rebuild.rebuild import (
    CONSUMED_TOPICS,
    ClinicianChange,
    clinician_differs,
    empty_projection,
    paginate,
    read_topics,
)
from services.notify.rebuild.staging import CurrentView, Staging, differences, unexpected_alerts
from shared.kafka.topic_reader import Offsets, PartitionSlice, TopicReader, wait_until_caught_up
from shared.rebuild.job import slice_partitions

CATCH_UP_TIMEOUT_SECONDS = 30.0
"""Seconds for the service to take in what lies on the topics; what is still on its way then is not compared."""
PAGE_SIZE = 5_000

Progress = Callable[[int, int], None]
"""Told how many messages were compared, of how many."""
Report = Callable[[str], None]


@dataclass(slots=True)
class VerifyResult:
    """What came out of it, in relationships."""

    compared: int = 0
    different: int = 0
    not_caught_up: int = 0
    """Of which the service has not taken in yet all that was told."""


class Verifier:
    """Compares the view with the topics; `say` is told of each difference by its names, never of what anybody said."""

    def __init__(self, servers: str, group: str, staging: Staging, reader: TopicReader, report: Report) -> None:
        self._servers = servers
        self._group = group
        self._staging = staging
        self._reader = reader
        self._print = report
        self._result = VerifyResult()

    async def __call__(self, progress: Progress) -> VerifyResult:
        """Compare everything. Raises StoreUnavailable and BrokerUnavailable."""
        sizes = await self._reader.message_counts()
        processed, seen, slices = 0, set[UUID](), list[tuple[PartitionSlice, Offsets]]()
        progress(processed, sum(sizes))
        for topic_slice, size in slice_partitions(sizes):
            offsets: Offsets = {}
            events_by_relationship, clinicians = await read_topics(self._reader, topic_slice, offsets)
            projections = {r: fold_forward(empty_projection(r), events) for r, events in events_by_relationship.items()}
            suspects = {
                r: projections[r]
                for page in paginate(projections)
                for r in await self._find_suspects(page, projections)
            }
            await self._recheck(topic_slice, offsets, suspects, await self._differing_clinicians(clinicians))
            seen |= projections.keys()
            slices.append((topic_slice, offsets))
            processed += size
            if processed < sum(sizes):
                progress(processed, sum(sizes))
        progress(sum(sizes), sum(sizes))
        self._result.compared = len(seen)
        await self._find_unexpected(seen, slices)
        return self._result

    async def _find_suspects(
        self, page: Sequence[UUID], projections: Mapping[UUID, RelationshipProjection]
    ) -> list[UUID]:
        current = await self._staging.load_current({r: projections[r] for r in page})
        return [r for r in page if _all_differences(current[r], projections[r])]

    async def _differing_clinicians(
        self, latest_changes: Mapping[UUID, ClinicianChange]
    ) -> dict[UUID, ClinicianChange]:
        stored = await self._staging.load_clinicians(latest_changes)
        return {
            clinician_id: latest
            for clinician_id, latest in latest_changes.items()
            if clinician_differs(latest, stored.get(clinician_id))
        }

    async def _recheck(
        self,
        topic_slice: PartitionSlice,
        offsets: Offsets,
        suspects: dict[UUID, RelationshipProjection],
        clinicians: dict[UUID, ClinicianChange],
    ) -> None:
        """Until each stands still: nothing was told of it while we looked, and the service had taken in all before."""
        deadline = time.monotonic() + CATCH_UP_TIMEOUT_SECONDS
        while suspects or clinicians:
            consumed_offsets = {topic.name: offsets[topic.name] for topic in CONSUMED_TOPICS}
            seconds_left = deadline - time.monotonic()
            if not await wait_until_caught_up(
                self._servers, self._group, topic_slice.partition, consumed_offsets, seconds_left
            ):
                self._result.not_caught_up += len(suspects)
                return
            for clinician in sorted(await self._differing_clinicians(clinicians)):
                self._report_differences(clinician, ["clinician"])
            clinicians = {}
            current = await self._staging.load_current(suspects)
            newer_events, _ = await read_topics(self._reader, topic_slice, offsets)
            for r in suspects.keys() - newer_events.keys():
                self._report_differences(r, _all_differences(current[r], suspects.pop(r)))
            suspects = {r: fold_forward(projection, newer_events[r]) for r, projection in suspects.items()}

    async def _find_unexpected(self, seen: set[UUID], slices: Sequence[tuple[PartitionSlice, Offsets]]) -> None:
        """Relationships that are kept, and that the topics know nothing of."""
        unexpected: set[UUID] = set()
        after: UUID | None = None
        while page := await self._staging.page(after, PAGE_SIZE):
            after = page[-1]
            unexpected |= set(page) - seen
        if unexpected:
            for topic_slice, offsets in slices:
                newer_events, _ = await read_topics(self._reader, topic_slice, offsets)
                unexpected -= newer_events.keys()
        for r in sorted(unexpected):
            self._report_differences(r, ["not on the topics"])

    def _report_differences(self, relationship: UUID, found_differences: Sequence[str]) -> None:
        if found_differences:
            self._result.different += 1
            self._print(f"{relationship}: {', '.join(found_differences)}")


def _all_differences(current: CurrentView, projection: RelationshipProjection) -> list[str]:
    return [*differences(current, projection), *unexpected_alerts(current, projection)]
