"""Requests see the staff as it was a few seconds ago at most, and as their own process has changed it."""

import asyncio
from dataclasses import dataclass, field

from shared.access.clinic_id import ClinicId
from shared.staff.cache import MAX_AGE_SECONDS, CachedStaff
from shared.staff.staff import ClinicStaff, fold
from tests.support.staff_builders import ANNA, CLINIC, OTHER_CLINIC, staff_updated

ELM, OAK = ClinicId(CLINIC), ClinicId(OTHER_CLINIC)


@dataclass
class Source:
    """Staff that a test changes, and a clock that it moves."""

    staff: ClinicStaff = field(default_factory=lambda: ClinicStaff(clinic_id=CLINIC))
    now: float = 100.0
    reads: int = 0
    is_reading: asyncio.Event = field(default_factory=asyncio.Event)
    is_answering: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.is_answering.set()

    async def find(self, clinic: ClinicId) -> ClinicStaff:
        self.reads += 1
        self.is_reading.set()
        staff = self.staff if clinic == ELM else ClinicStaff(clinic_id=clinic)
        await self.is_answering.wait()
        return staff

    def clock(self) -> float:
        return self.now

    def assign_a_role(self) -> None:
        self.staff = fold(CLINIC, [staff_updated(ANNA, "desk")])


async def test_the_staff_is_read_again_when_it_is_too_old() -> None:
    source = Source()
    cache = CachedStaff(source, source.clock)
    before = await cache.of(ELM)
    source.assign_a_role()

    source.now += MAX_AGE_SECONDS - 0.1
    assert await cache.of(ELM) == before
    assert source.reads == 1

    source.now += 0.1
    assert (await cache.of(ELM)).roles_of(ANNA) == {"desk"}


async def test_what_this_process_changed_is_read_at_once() -> None:
    source = Source()
    cache = CachedStaff(source, source.clock)
    await cache.of(ELM)
    await cache.of(OAK)
    source.assign_a_role()

    cache.drop([ELM])

    assert (await cache.of(ELM)).roles_of(ANNA) == {"desk"}
    await cache.of(OAK)
    assert source.reads == 3, "the other clinic is still in the cache"


async def test_what_was_read_before_a_change_is_not_cached_after_it() -> None:
    source = Source()
    cache = CachedStaff(source, source.clock)
    source.is_answering.clear()
    reading = asyncio.ensure_future(cache.of(ELM))
    await source.is_reading.wait()

    source.assign_a_role()
    cache.drop([ELM])
    source.is_answering.set()

    assert (await reading).roles_of(ANNA) == frozenset(), "it was read before"
    assert (await cache.of(ELM)).roles_of(ANNA) == {"desk"}
