"""Comparing a view with the topics, with both in memory: what is a difference, and what is not compared."""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID, uuid4

import pytest

from shared.events import Event
from shared.kafka.dead_letters.record import Origin
from shared.kafka.event_reader import PartitionSlice, RecordedEvent
from shared.kafka.group_offsets import Offsets
from shared.rebuild import history
from shared.rebuild.history import History, PageSize, SliceReader, paginate, slice_partitions
from shared.rebuild.verify import Verifier, VerifyResult
from shared.rebuild.view import NO_POLICY, Counts, Difference, StagedDocument, View, merge_pages
from tests.support.builders import RelationshipBuilder
from tests.support.memory_topic import MemoryTopic


class CountingView(View):
    """Counts the events of each relationship; a missing relationship is a difference."""

    subjects = "relationships"
    page_size = PageSize(documents=2, events=100)
    policy = NO_POLICY

    def __init__(self) -> None:
        self.counts: dict[UUID, int] = {}
        self.page_sizes: list[int] = []
        self.after_comparison: Callable[[], None] = lambda: None

    def handle(self, *events: Event) -> None:
        for event in events:
            self.counts[event.key] = self.counts.get(event.key, 0) + 1

    async def create_indexes(self) -> None:
        """There are none."""

    async def find_differences(self, histories: Mapping[UUID, History]) -> list[Difference]:
        self.page_sizes.append(len(histories))
        differences = [
            Difference(id, ("count",)) for id, history in histories.items() if self.counts.get(id) != len(history)
        ]
        self.after_comparison()
        return differences

    async def list_ids(self, after: UUID | None, limit: int) -> list[UUID]:
        return sorted(id for id in self.counts if after is None or id > after)[:limit]

    async def stage(
        self, slice_reader: SliceReader, page: Mapping[UUID, History]
    ) -> tuple[Sequence[StagedDocument], Counts]:
        raise NotImplementedError

    async def swap(self, partition_slice: PartitionSlice, documents: Sequence[StagedDocument]) -> None:
        raise NotImplementedError


class Comparison:
    """A view, its topic, and a consumer group that catches up when the test says so."""

    def __init__(self) -> None:
        self.topic, self.view = MemoryTopic(), CountingView()
        self.catch_up: Callable[[], bool] = lambda: True
        self.reported: list[str] = []

    async def verify(self) -> VerifyResult:
        async def wait_until_caught_up(_partition: int, _offsets: Offsets, _timeout_seconds: float) -> bool:
            return self.catch_up()

        verifier = Verifier(self.view, self.topic, wait_until_caught_up, self.reported.append)
        return await verifier.run(lambda _done, _total: None)


@pytest.fixture
def comparison() -> Comparison:
    return Comparison()


def publish(comparison: Comparison, count: int) -> list[Event]:
    """Publish events of as many relationships; the view has handled none of them."""
    events: list[Event] = [RelationshipBuilder().started() for _ in range(count)]
    comparison.topic.events += events
    return events


async def test_a_view_that_handled_every_event_has_no_difference(comparison: Comparison) -> None:
    comparison.view.handle(*publish(comparison, 5))

    result = await comparison.verify()

    assert (result.compared, result.different, result.not_caught_up) == (5, 0, set())
    assert comparison.view.page_sizes == [2, 2, 1]


async def test_a_difference_that_is_gone_when_the_service_has_caught_up_is_not_reported(comparison: Comparison) -> None:
    late, wrong = publish(comparison, 2)

    def catch_up() -> bool:
        comparison.view.handle(late)
        return True

    comparison.catch_up = catch_up

    result = await comparison.verify()

    assert comparison.reported == [f"{wrong.key}: count"]
    assert (result.compared, result.different) == (2, 1)


async def test_what_the_service_has_not_caught_up_with_is_not_compared_and_no_difference(
    comparison: Comparison,
) -> None:
    late, handled, wrong = publish(comparison, 3)
    comparison.view.handle(handled, wrong, wrong)
    comparison.catch_up = lambda: False

    result = await comparison.verify()

    assert comparison.reported == []
    assert result.not_caught_up == {late.key, wrong.key}
    assert (result.compared, result.different) == (1, 0)


async def test_what_the_service_dead_letters_during_the_comparison_is_no_difference(comparison: Comparison) -> None:
    first, second, _alone = publish(comparison, 3)
    comparison.view.handle(first, second)
    comparison.topic.events.append(second)  # as it stands, the view lacks this and the third one

    def dead_letter() -> bool:
        comparison.topic.dead_lettered |= {2, 3}
        return True

    comparison.catch_up = dead_letter

    result = await comparison.verify()

    assert (comparison.reported, result.compared, result.different) == ([], 2, 0)


async def test_a_document_whose_events_arrive_during_the_comparison_is_compared_again(comparison: Comparison) -> None:
    (first,) = publish(comparison, 1)
    comparison.view.handle(first, first)
    looks = iter([(), (first,)])  # the second event is on the topic only after the second comparison

    def publish_next() -> None:
        comparison.topic.events += next(looks, ())

    comparison.view.after_comparison = publish_next

    result = await comparison.verify()

    assert (comparison.reported, result.different) == ([], 0)


async def test_a_stored_document_is_unexpected_only_if_the_topics_still_do_not_have_it(comparison: Comparison) -> None:
    comparison.view.handle(*publish(comparison, 1))
    arriving, unknown = RelationshipBuilder().started(), RelationshipBuilder().started()
    comparison.view.handle(arriving, unknown)
    comparison.view.after_comparison = lambda: comparison.topic.events.append(arriving)

    result = await comparison.verify()

    assert comparison.reported == [f"{unknown.key}: not on the topics"]
    assert (result.compared, result.different) == (1, 1)


async def test_every_slice_of_a_large_partition_is_compared(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_SLICE_MESSAGES", 3)
    events = publish(comparison, 10)
    comparison.view.handle(*events[1:])

    result = await comparison.verify()

    assert comparison.reported == [f"{events[0].key}: count"]
    assert result.compared == 10
    assert len(slice_partitions(await comparison.topic.message_counts())) == 4


def test_merged_pages_pass_over_nothing() -> None:
    ids = sorted(uuid4() for _ in range(9))
    every_third, each_twice = ids[::3], [id for id in ids[1:] for _ in range(2)]
    found: list[UUID] = []

    while page := merge_pages(
        2, *([id for id in each if not found or id > found[-1]][:2] for each in (every_third, each_twice))
    ):
        found += page

    assert found == ids


def test_a_page_is_full_at_its_number_of_documents_or_of_events() -> None:
    event = RelationshipBuilder().started()
    lengths = (1, 1, 5, 1, 9, 1)
    recorded = RecordedEvent(event, b"", Origin("topic", 0, 0))
    histories: dict[UUID, History] = {uuid4(): [recorded] * length for length in lengths}

    pages = paginate(histories, PageSize(documents=2, events=5))

    assert [[len(history) for history in page.values()] for page in pages] == [[1, 1], [5], [1, 9], [1]]
