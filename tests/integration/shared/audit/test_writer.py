"""Writers crash, pause and lose their lease; the chain stays one chain, with every line once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import get_args
from uuid import UUID, uuid4

import pytest

from shared.audit.chain import AuditEntry, Head, extend
from shared.audit.line import AuditLine
from shared.audit.store.protocol import AuditStore
from shared.audit.writer import ChainWriter
from tests.support.audit_builders import ELM, KEY, KEYS, OAK, make_lines
from tests.support.audit_stores import Killed, KillingStore, PartlyAppendingStore, PausingStore, Step, find_problems
from tests.support.serving import wait_until

pytestmark = pytest.mark.integration

SHORT_LEASE = timedelta(milliseconds=20)
STEP_NAMES, STEP_MOMENTS = (get_args(part) for part in get_args(Step))
STEPS = [(name, moment) for name in STEP_NAMES for moment in STEP_MOMENTS if name != "find_appended"]


def create_writer(store: AuditStore, lease: timedelta = SHORT_LEASE) -> ChainWriter:
    return ChainWriter(store, KEY, uuid4(), lease)


async def append_all(writer: ChainWriter, lines: Sequence[AuditLine]) -> None:
    """Append until no lease of another writer is in the way."""
    ids = {line.id for line in lines}

    async def is_appended() -> bool:
        return await writer.append(lines) == ids

    await wait_until(is_appended)


async def list_line_ids(store: AuditStore) -> list[UUID]:
    return [entry.line.id async for entry in store.stream(ELM) if isinstance(entry, AuditEntry)]


async def test_lines_are_chained_by_clinic_in_their_order_each_once(store: AuditStore) -> None:
    writer = create_writer(store)
    elms, oaks = make_lines(3), make_lines(2, OAK)

    appended = await writer.append([elms[0], oaks[0], elms[1], elms[1], oaks[1]])
    repeated = await writer.append([elms[1], elms[2], elms[0]])

    assert appended == {line.id for line in [*elms[:2], *oaks]}
    assert repeated == {line.id for line in elms}
    assert await list_line_ids(store) == [line.id for line in elms]
    assert await find_problems(store, ELM, KEYS) == await find_problems(store, OAK, KEYS) == []
    assert not (await store.find_heads(ELM)).is_truncated
    assert (await store.find_heads(ELM)).released.sequence == 3


async def test_many_lines_are_appended_in_batches(store: AuditStore) -> None:
    lines = make_lines(1_100)

    assert await create_writer(store, timedelta(minutes=1)).append(lines) == {line.id for line in lines}

    assert await list_line_ids(store) == [line.id for line in lines]
    assert await find_problems(store, ELM, KEYS) == []


async def test_another_writer_waits_while_a_chain_is_claimed(store: AuditStore) -> None:
    await store.claim(ELM, uuid4(), timedelta(minutes=1))
    oaks = make_lines(1, OAK)

    appended = await create_writer(store).append([*make_lines(1), *oaks])

    assert appended == {oaks[0].id}


@pytest.mark.parametrize("step", STEPS, ids=" ".join)
async def test_after_a_crash_another_writer_completes_the_chain(store: AuditStore, step: Step) -> None:
    before, lines = make_lines(2), make_lines(5)
    await append_all(create_writer(store), before)

    with pytest.raises(Killed):
        await create_writer(KillingStore(store, step)).append(lines)
    await append_all(create_writer(store), lines)

    assert await list_line_ids(store) == [line.id for line in [*before, *lines]]
    assert await find_problems(store, ELM, KEYS) == []


async def test_after_a_crash_amid_a_batch_the_rest_is_appended(store: AuditStore) -> None:
    lines = make_lines(7)

    with pytest.raises(Killed):
        await create_writer(PartlyAppendingStore(store)).append(lines)
    assert len(await list_line_ids(store)) == 3
    await append_all(create_writer(store), lines)

    assert await list_line_ids(store) == [line.id for line in lines]
    assert await find_problems(store, ELM, KEYS) == []


@pytest.mark.parametrize("step", STEPS, ids=" ".join)
async def test_a_writer_that_was_paused_and_lost_its_lease_does_not_fork_the_chain(
    store: AuditStore, step: Step
) -> None:
    """Both have some lines that the other has too."""
    lines = make_lines(6)
    pausing = PausingStore(store, step)
    paused = asyncio.create_task(create_writer(pausing).append(lines[:4]))
    await pausing.is_paused.wait()
    await append_all(create_writer(store), lines[2:])

    pausing.resume.set()
    await paused
    await append_all(create_writer(store), lines)

    assert sorted(await list_line_ids(store)) == sorted(line.id for line in lines)
    assert await find_problems(store, ELM, KEYS) == []


async def test_many_writers_without_a_working_lease_make_one_chain(store: AuditStore) -> None:
    lines = make_lines(40)
    writers = [create_writer(store, timedelta(0)) for _ in range(5)]

    await asyncio.gather(*(writer.append(lines[n * 5 : n * 5 + 20]) for n, writer in enumerate(writers)))

    assert sorted(await list_line_ids(store)) == sorted(line.id for line in lines)
    assert await find_problems(store, ELM, KEYS) == []


async def test_a_cut_off_end_stays_a_gap_when_the_chain_goes_on(store: AuditStore) -> None:
    chain = extend(Head(ELM), make_lines(5), KEY)
    await store.append(chain[:3])
    await store.claim(ELM, owner := uuid4(), SHORT_LEASE)
    await store.release(owner, chain[-1].head)

    await append_all(create_writer(store), make_lines(2))

    (problem,) = await find_problems(store, ELM, KEYS)
    assert (problem.sequence, problem.kind, problem.detail) == (6, "removed", "entries 4 to 5 are missing")
