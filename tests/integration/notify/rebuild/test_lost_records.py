"""Verify never says that nothing differs when the topics do not have every record that the service consumed."""

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete

from shared.events.topics import SESSIONS
from tests.integration.notify.rebuild.prepared_service import CLINICIAN_COUNT, RELATIONSHIP_COUNT, PreparedService
from tests.support.kafka_reader import read_records
from tests.system.support.poison import publish_undecodable_record


async def test_whatever_verify_cannot_look_at_is_named_and_its_exit_code_is_not_success(
    notified: PreparedService,
) -> None:
    servers = notified.settings.kafka_bootstrap_servers
    complete = await notified.command("verify")
    partition = TopicPartition(SESSIONS.name, (await read_records(servers, SESSIONS))[0].partition)
    count = len([r for r in await read_records(servers, SESSIONS) if r.partition == partition.partition])
    await _change_retention(servers)
    await _commit(servers, partition, count + 100)
    await _delete_records(servers, partition, count)
    await publish_undecodable_record(servers, SESSIONS.name, partition.partition)

    incomplete = await notified.command("verify")
    rebuilt = await notified.command("rebuild", "--accept-losses")

    compared = f"{RELATIONSHIP_COUNT + CLINICIAN_COUNT} relationships, clinicians and clinics compared"
    assert (complete.exit_code, complete.stdout) == (0, f"{compared}, 0 different\n")
    first_line, *remarks = [line for line in incomplete.stdout.splitlines() if not line.endswith("appointments")]
    assert first_line.startswith(compared)
    assert remarks == [
        f"records on {SESSIONS.name}/{partition.partition} cannot be decoded by the client",
        f"{count} records of {SESSIONS.name} were deleted",
        f"{SESSIONS.name} does not keep every record: retention.ms is 604800000",
        f"notify has consumed {SESSIONS.name}/{partition.partition} up to {count + 100}, but it ends at {count + 1}: "
        "records were lost",
    ]
    assert set(remarks[:2]) <= set(rebuilt.stdout.splitlines()), "a rebuild names them as well"


async def _change_retention(servers: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    settings = {"retention.ms": "604800000", "message.timestamp.type": "LogAppendTime"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, SESSIONS.name, settings)])
    await admin.close()


async def _delete_records(servers: str, partition: TopicPartition, before: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.delete_records({partition: RecordsToDelete(before_offset=before)})
    await admin.close()


async def _commit(servers: str, partition: TopicPartition, offset: int) -> None:
    async with AIOKafkaConsumer(bootstrap_servers=servers, group_id="notify", enable_auto_commit=False) as member:
        member.assign([partition])
        await member.commit({partition: offset})
