"""The contract of the store of the audit."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from shared.audit.chain import AuditEntry, Head, extend
from shared.audit.store.protocol import AuditStore, Heads, Position, Search
from tests.support.audit_builders import ANNA, BEN, ELM, KEY, NOW, OAK, make_line, make_lines
from tests.support.serving import wait_until

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)
FIRST, SECOND = uuid4(), uuid4()
ELMS, OAKS = Head(ELM), Head(OAK)


async def list_chain(store: AuditStore) -> list[AuditEntry]:
    return [entry async for entry in store.stream(ELM) if isinstance(entry, AuditEntry)]


async def test_a_chain_is_read_back_as_it_was_appended(store: AuditStore) -> None:
    elms, oaks = extend(ELMS, make_lines(5), KEY), extend(OAKS, make_lines(2, OAK), KEY)

    assert await store.append(elms[:3])
    assert await store.append(oaks)
    assert await store.append(elms[3:])
    assert await store.append([])

    assert await list_chain(store) == elms
    assert await store.find_heads(ELM) == Heads(elms[-1].head, ELMS)
    assert await store.list_clinics() == sorted([ELM, OAK])


async def test_a_sequence_that_is_taken_is_not_taken_again(store: AuditStore) -> None:
    chain, other = extend(ELMS, make_lines(3), KEY), extend(ELMS, make_lines(3), KEY)
    await store.append(chain[:2])

    assert not await store.append(other)
    assert not await store.append([other[1], other[2]])

    assert await list_chain(store) == chain[:2]
    assert await store.append(extend(OAKS, make_lines(1, OAK), KEY))


async def test_a_line_is_appended_once(store: AuditStore) -> None:
    lines = make_lines(4)
    chain = extend(ELMS, lines[:2], KEY)
    await store.append(chain)
    again = extend(chain[-1].head, [lines[2], lines[1], lines[3]], KEY)

    assert not await store.append(again)

    assert await list_chain(store) == [*chain, again[0]]
    assert await store.find_appended([line.id for line in lines]) == {line.id for line in lines[:3]}


async def test_of_parallel_appends_of_one_place_one_succeeds(store: AuditStore) -> None:
    chains = [extend(ELMS, make_lines(3), KEY) for _ in range(8)]

    results = await asyncio.gather(*map(store.append, chains))

    assert results.count(True) == 1
    assert await list_chain(store) == chains[results.index(True)]


async def test_a_chain_is_claimed_by_one_writer_at_a_time(store: AuditStore) -> None:
    assert await store.claim(ELM, FIRST, MINUTE)
    assert await store.claim(ELM, FIRST, MINUTE)

    assert not await store.claim(ELM, SECOND, MINUTE)
    assert await store.claim(OAK, SECOND, MINUTE)
    await store.release(FIRST, Head(ELM, 7, "a" * 64))

    assert await store.claim(ELM, SECOND, MINUTE)
    assert (await store.find_heads(ELM)).released == Head(ELM, 7, "a" * 64)


async def test_of_parallel_claims_one_succeeds(store: AuditStore) -> None:
    claims = await asyncio.gather(*(store.claim(ELM, uuid4(), MINUTE) for _ in range(8)))

    assert claims.count(True) == 1


async def test_a_lease_expires(store: AuditStore) -> None:
    await store.claim(ELM, FIRST, timedelta(milliseconds=50))

    await wait_until(lambda: store.claim(ELM, SECOND, MINUTE))

    assert not await store.claim(ELM, FIRST, MINUTE)


async def test_a_writer_that_lost_its_lease_does_not_take_the_head_back(store: AuditStore) -> None:
    await store.claim(ELM, FIRST, timedelta(0))
    await store.claim(ELM, SECOND, MINUTE)

    await store.release(FIRST, Head(ELM, 2, "a" * 64))
    assert not await store.claim(ELM, FIRST, MINUTE)
    await store.release(SECOND, Head(ELM, 5, "b" * 64))
    await store.release(FIRST, Head(ELM, 2, "a" * 64))

    assert (await store.find_heads(ELM)).released == Head(ELM, 5, "b" * 64)


async def test_a_chain_whose_end_was_removed_goes_on_after_the_noted_head(store: AuditStore) -> None:
    chain = extend(ELMS, make_lines(2), KEY)
    await store.append(chain)
    await store.claim(ELM, FIRST, MINUTE)
    await store.release(FIRST, Head(ELM, 3, "c" * 64))

    heads = await store.find_heads(ELM)

    assert heads.is_truncated
    assert heads.end == Head(ELM, 3, "c" * 64)


async def test_a_chain_that_was_removed_is_still_known(store: AuditStore) -> None:
    await store.claim(ELM, FIRST, MINUTE)
    assert await store.list_clinics() == []
    await store.release(FIRST, Head(ELM, 3, "c" * 64))

    assert await store.list_clinics() == [ELM]


async def test_lines_are_searched_by_what_they_are_about_by_actor_and_by_time(store: AuditStore) -> None:
    client, other = uuid4(), uuid4()
    deputys = make_line("read_session", other, by=BEN, minutes=3).model_copy(update={"on_behalf_of": client})
    lines = [
        make_line("read_session", client, other, minutes=0),
        make_line("complete_session", other, minutes=2),
        make_line("read_session", client, by=BEN, minutes=1),
        deputys,
    ]
    elms = extend(ELMS, lines, KEY)
    await store.append(elms)
    await store.append(extend(OAKS, [make_line("read_session", client, by=BEN, clinic_id=OAK)], KEY))

    async def search(**fields: object) -> list[int]:
        found = await store.list_entries(ELM, Search(**fields), None, 10)  # type: ignore[arg-type]
        return [elms.index(entry) for entry in found]

    assert await search() == [0, 2, 1, 3]
    assert await search(about=client) == [0, 2, 3]
    assert await search(by=BEN) == [2, 3]
    assert await search(by=ANNA, about=client) == [0]
    assert await search(since=NOW + MINUTE, until=NOW + 3 * MINUTE) == [2, 1]
    assert await search(about=uuid4()) == []


async def test_a_search_is_read_page_by_page_also_within_one_moment(store: AuditStore) -> None:
    lines = [make_line(minutes=minutes) for minutes in (2, 1, 1, 1, 0)]
    elms = extend(ELMS, lines, KEY)
    await store.append(elms)

    pages: list[list[int]] = []
    after: Position | None = None
    while found := await store.list_entries(ELM, Search(by=ANNA), after, 2):
        pages.append([entry.sequence for entry in found])
        after = Position(found[-1].line.at, found[-1].sequence)

    assert pages == [[5, 2], [3, 4], [1]]
