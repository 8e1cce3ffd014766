"""Verifying notify's view as operators do: what is a difference, and what is not compared."""

from uuid import UUID, uuid4

import pytest

from shared.events.topics import INTAKE
from shared.kafka.producer import Message, Producer
from tests.integration.notify.rebuild.prepared_service import (
    CLINICIAN_COUNT,
    NOW,
    RELATIONSHIP_COUNT,
    PreparedService,
    create_builder,
)
from tests.support.rupture_builder import RuptureBuilder

pytestmark = pytest.mark.integration


async def test_verify_finds_documents_that_are_not_on_the_topics(notified: PreparedService) -> None:
    unknown_relationship = RuptureBuilder(NOW)
    await notified.mongo["relationships"].insert_one(
        {"_id": unknown_relationship.relationship_id, "relationship_id": unknown_relationship.relationship_id, "v": 1}
    )
    await notified.mongo["alerts"].insert_one(
        {"_id": uuid4(), "relationship_id": create_builder(3).relationship_id, "v": 1}
    )

    of_unknown_alert, unknown_clinician = uuid4(), uuid4()
    await notified.mongo["alerts"].insert_one({"_id": uuid4(), "relationship_id": of_unknown_alert, "v": 1})
    await notified.mongo["clinicians"].insert_one({"_id": unknown_clinician, "time_zone": "Europe/Berlin"})

    result = await notified.command("verify")

    assert result.exit_code == 1
    assert {result.differences[str(id)] for id in (of_unknown_alert, unknown_clinician)} == {"not on the topics"}
    assert result.differences[str(unknown_relationship.relationship_id)] == "not on the topics"
    assert result.differences[str(create_builder(3).relationship_id)].endswith("not on the topics")
    assert len(result.differences) == 4


async def test_a_wrong_clinician_is_not_compared_rather_than_correct_while_the_service_has_not_caught_up(
    notified: PreparedService, kafka: Producer
) -> None:
    clinician_id = UUID(int=1)
    await notified.mongo["clinicians"].update_one({"_id": clinician_id}, {"$set": {"time_zone": "Moon/Crater"}})
    await kafka.send([Message(INTAKE.name, str(clinician_id).encode(), b"not json")])  # nobody consumes it

    result = await notified.command("verify", "--catch-up-seconds", "2")

    compared = RELATIONSHIP_COUNT + CLINICIAN_COUNT - 1
    first_line, not_caught_up, not_decoded = result.stdout.splitlines()
    assert first_line == f"{compared} relationships, clinicians and clinics compared, 0 different"
    assert not_caught_up == "1 not compared: the service has not caught up with their events"
    assert not_decoded.startswith("1 records cannot be decoded, and notify has not dead-lettered them; the first is ")
    assert result.exit_code == 3
