"""Reading a topic that is written to meanwhile."""

from collections.abc import Awaitable, Callable, Collection

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared.kafka.topic_reader import TopicReader
from tests.support.harness import ConsumerHarness

Overtake = Callable[[Collection[TopicPartition]], Awaitable[None]]
"""What happens, from the partitions that have records."""


class OvertakenReader(TopicReader):
    """Something happens whenever it has asked for the ends, and has not fetched yet."""

    def __init__(self, harness: ConsumerHarness, overtake: Overtake) -> None:
        super().__init__(harness.servers, [harness.topic])
        self._overtake = overtake

    async def offset_ranges(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, range]:
        ranges = await super().offset_ranges(partitions)
        await self._overtake([partition for partition, existing in ranges.items() if existing])
        return ranges

    async def read_values(self, offsets: dict[TopicPartition, int]) -> list[bytes | None]:
        return [record.value async for records in self.read(self.partitions, offsets) for record in records]


async def delete_first_record(harness: ConsumerHarness, partitions: Collection[TopicPartition]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=harness.servers)
    await admin.start()
    await admin.delete_records({partition: RecordsToDelete(1) for partition in partitions})
    await admin.close()


async def test_a_record_appended_while_reading_is_returned_by_the_next_read(harness: ConsumerHarness) -> None:
    async def append(_partitions: Collection[TopicPartition]) -> None:
        await harness.produce(b"appended meanwhile")

    await harness.produce(b"first")
    offsets: dict[TopicPartition, int] = {}

    async with OvertakenReader(harness, append) as reader:
        reads = [await reader.read_values(offsets) for _ in range(3)]

    assert reads == [[b"first"], [b"appended meanwhile"], [b"appended meanwhile"]]


async def test_what_follows_records_deleted_while_reading_is_not_passed_over(harness: ConsumerHarness) -> None:
    async def delete(partitions: Collection[TopicPartition]) -> None:
        await delete_first_record(harness, partitions)

    await harness.produce(b"deleted", b"retained")

    async with OvertakenReader(harness, delete) as reader:
        assert await reader.read_values({}) == [b"retained"]


async def test_a_record_that_is_appended_again_and_deleted_while_reading_is_not_missed(
    harness: ConsumerHarness,
) -> None:
    """As dead letters are when the messages of others are removed: a list without them would say that all is well."""
    appended = False

    async def append_again_once(partitions: Collection[TopicPartition]) -> None:
        nonlocal appended
        if not appended:
            appended = True
            await harness.produce(b"open")
            await delete_first_record(harness, partitions)

    await harness.produce(b"open")
    offsets: dict[TopicPartition, int] = {}

    async with OvertakenReader(harness, append_again_once) as reader:
        reads = [await reader.read_values(offsets) for _ in range(2)]

    assert reads == [[b"open"], []]
