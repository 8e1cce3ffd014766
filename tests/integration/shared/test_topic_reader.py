"""Reading a topic that is written to meanwhile."""

from collections.abc import Collection

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared.kafka.topic_reader import TopicReader
from tests.support.harness import ConsumerHarness


async def test_a_record_appended_while_reading_is_returned_by_the_next_read(harness: ConsumerHarness) -> None:
    class OvertakenReader(TopicReader):
        """Another record is appended after the reader has asked for the ends, and before it fetches."""

        async def offset_ranges(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, range]:
            ranges = await super().offset_ranges(partitions)
            await harness.produce(b"appended meanwhile")
            return ranges

    await harness.produce(b"first")
    offsets: dict[TopicPartition, int] = {}

    async with OvertakenReader(harness.servers, [harness.topic]) as reader:
        reads = [
            [record.value async for records in reader.read(reader.partitions, offsets) for record in records]
            for _ in range(3)
        ]

    assert reads == [[b"first"], [b"appended meanwhile"], [b"appended meanwhile"]]


async def test_what_follows_records_deleted_while_reading_is_not_passed_over(harness: ConsumerHarness) -> None:
    class OvertakenReader(TopicReader):
        """The first record is deleted after the reader has asked for the ends, and before it fetches."""

        async def offset_ranges(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, range]:
            ranges = await super().offset_ranges(partitions)
            admin = AIOKafkaAdminClient(bootstrap_servers=harness.servers)
            await admin.start()
            await admin.delete_records({p: RecordsToDelete(1) for p, existing in ranges.items() if existing})
            await admin.close()
            return ranges

    await harness.produce(b"deleted", b"retained")

    async with OvertakenReader(harness.servers, [harness.topic]) as reader:
        records = await reader.read_all()

    assert [record.value for record in records] == [b"retained"]


async def test_a_record_that_is_appended_again_and_deleted_while_reading_is_not_missed(
    harness: ConsumerHarness,
) -> None:
    """As dead letters are when the messages of others are removed: a list without them would say that all is well."""

    class OvertakenReader(TopicReader):
        """It happens once, after the reader has asked for the ends, and before it fetches."""

        is_overtaken = False

        async def offset_ranges(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, range]:
            ranges = await super().offset_ranges(partitions)
            if not self.is_overtaken:
                self.is_overtaken = True
                await harness.produce(b"open")
                admin = AIOKafkaAdminClient(bootstrap_servers=harness.servers)
                await admin.start()
                await admin.delete_records({p: RecordsToDelete(1) for p, existing in ranges.items() if existing})
                await admin.close()
            return ranges

    await harness.produce(b"open")
    offsets: dict[TopicPartition, int] = {}

    async with OvertakenReader(harness.servers, [harness.topic]) as reader:
        reads = [
            [record.value async for records in reader.read(reader.partitions, offsets) for record in records]
            for _ in range(2)
        ]

    assert reads == [[b"open"], []]
