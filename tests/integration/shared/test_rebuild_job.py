"""The tasks of a rebuild in MongoDB: a lease keeps other processes away from a task, and expires by itself."""

from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from shared.mongo.client import Mongo
from shared.rebuild.job import RebuildJob
from shared.rebuild.view import NO_POLICY
from tests.support.mongo import open_mongo
from tests.support.serving import wait_until

pytestmark = pytest.mark.integration

LEASE_SECONDS = 2.0


@pytest.fixture
async def mongo(mongodb_uri: str) -> AsyncIterator[Mongo]:
    async with open_mongo(mongodb_uri, "motor") as mongo:
        yield mongo


async def join_job(mongo: Mongo) -> RebuildJob:
    """Join a rebuild with one task, as a process of its own."""
    job = RebuildJob(mongo, LEASE_SECONDS)
    await job.join(NO_POLICY, message_counts=[1])
    return job


async def test_the_task_of_a_killed_process_can_be_claimed_when_its_lease_expires(mongo: Mongo) -> None:
    killed, other = await join_job(mongo), await join_job(mongo)
    assert await killed.claim("read")

    assert await other.claim("read") is None

    async def has_claimed() -> bool:
        return await other.claim("read") is not None

    await wait_until(has_claimed)


async def test_a_process_renews_its_lease_as_long_as_it_works_on_the_task(mongo: Mongo) -> None:
    job = await join_job(mongo)
    task = await job.claim("read")
    assert task
    first_end = await lease_end(mongo)

    async def is_renewed() -> bool:
        return await lease_end(mongo) > first_end

    async with job.hold_lease(task):
        await wait_until(is_renewed)


async def lease_end(mongo: Mongo) -> datetime:
    (task,) = await mongo["rebuild_shares"].find().to_list(None)
    end: datetime = task["until"]
    return end
