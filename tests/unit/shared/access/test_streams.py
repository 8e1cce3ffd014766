"""An open stream ends when its reader may no longer see what it shows."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.access.target import Target
from tests.unit.shared.access.clinic_world import CLINIC, DAY, DEPUTIZED, ME, MY_CLINICIAN, staff
from tests.unit.shared.access.note_app import NoteService

DEPUTIZED_NOTE = Target(CLINIC, DEPUTIZED)


async def open_stream(service: NoteService, target: Target = DEPUTIZED_NOTE) -> asyncio.Task[None]:
    """A stream of a note that my deputy's role opened."""
    note = service.add(target)
    async with service.open() as client:
        assert (await client.get(f"/notes/{note}", headers=service.sign_in())).status_code == 200
    return asyncio.create_task(service.access.wait_until_over(service.grants[0], target))


async def many_checks(stream: asyncio.Task[None]) -> None:
    for _ in range(50):
        await asyncio.wait([stream], timeout=0)


async def is_over(stream: asyncio.Task[None]) -> bool:
    """Whether the stream ended within many checks."""
    await many_checks(stream)
    is_done = stream.done()
    stream.cancel()
    return is_done


def sign_out(service: NoteService) -> None:
    service.authentication.principals.clear()


def lose_the_identity_database(service: NoteService) -> None:
    service.authentication.is_away = True


def remove_from_the_staff(service: NoteService) -> None:
    service.staff.roles[ME] = frozenset()


def end_the_deputy_period(service: NoteService) -> None:
    service.clock.at += 2 * DAY


def lose_the_staff_for_long(service: NoteService) -> None:
    service.source.is_away = True
    service.clock.step = timedelta(seconds=20)


@pytest.mark.parametrize(
    "event",
    [sign_out, lose_the_identity_database, remove_from_the_staff, end_the_deputy_period, lose_the_staff_for_long],
)
async def test_a_stream_ends_when_access_is_withdrawn(event: Callable[[NoteService], Any]) -> None:
    service = NoteService(staff("clinician"))
    stream = await open_stream(service)

    event(service)

    assert await is_over(stream)


async def test_a_stream_goes_on_as_long_as_nothing_changes() -> None:
    service = NoteService(staff("clinician"))

    assert not await is_over(await open_stream(service))


async def test_a_stream_goes_on_while_the_staff_cannot_be_read_for_a_moment() -> None:
    service = NoteService(staff("clinician"))
    stream = await open_stream(service)
    await many_checks(stream)
    service.clock.at += timedelta(hours=1)
    await many_checks(stream)

    service.source.is_away = True

    assert not await is_over(stream)


async def test_a_stream_goes_on_in_the_role_that_opened_it() -> None:
    """A deputy who also is the clinician's supervisor keeps the reduced view, and loses it with the deputy's time."""
    service = NoteService(staff("clinician", "supervisor", is_lead=True))
    stream = await open_stream(service)
    service.clock.at += 2 * DAY

    assert await is_over(stream)


async def test_the_stream_of_an_own_note_goes_on_after_a_deputy_period() -> None:
    service = NoteService(staff("clinician"))
    stream = await open_stream(service, Target(CLINIC, MY_CLINICIAN))
    service.clock.at += 2 * DAY

    assert not await is_over(stream)
