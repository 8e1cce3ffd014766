"""Stores of the audit that fail, or that wait, at a chosen step."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Collection, Sequence
from datetime import timedelta
from typing import Literal, TypeVar
from uuid import UUID

from shared.access.clinic_id import ClinicId
from shared.audit.chain import AuditEntry, Head
from shared.audit.keys import AuditKeys
from shared.audit.store.protocol import AuditStore, Heads, Position, Search
from shared.audit.verify import ChainVerifier, Problem, StoredEntry

Result = TypeVar("Result")
Step = tuple[Literal["claim", "find_heads", "append", "find_appended", "release"], Literal["before", "after"]]


class Killed(BaseException):
    """The process ends here: no handler of errors runs."""


class StoreWithSteps:
    """A store that calls `reach` before and after each step of a writer."""

    def __init__(self, store: AuditStore) -> None:
        self._store = store

    async def reach(self, step: Step) -> None:
        """Does nothing here."""

    async def claim(self, clinic: ClinicId, owner: UUID, lease: timedelta) -> bool:
        await self.reach(("claim", "before"))
        return await self._finish(("claim", "after"), self._store.claim(clinic, owner, lease))

    async def find_heads(self, clinic: ClinicId) -> Heads:
        await self.reach(("find_heads", "before"))
        return await self._finish(("find_heads", "after"), self._store.find_heads(clinic))

    async def append(self, entries: Sequence[AuditEntry]) -> bool:
        await self.reach(("append", "before"))
        return await self._finish(("append", "after"), self._store.append(entries))

    async def find_appended(self, line_ids: Collection[UUID]) -> set[UUID]:
        await self.reach(("find_appended", "before"))
        return await self._finish(("find_appended", "after"), self._store.find_appended(line_ids))

    async def release(self, owner: UUID, head: Head) -> None:
        await self.reach(("release", "before"))
        await self._finish(("release", "after"), self._store.release(owner, head))

    async def list_clinics(self) -> list[ClinicId]:
        return await self._store.list_clinics()

    def stream(self, clinic: ClinicId) -> AsyncIterator[StoredEntry]:
        return self._store.stream(clinic)

    async def list_entries(
        self, clinic: ClinicId, search: Search, after: Position | None, limit: int
    ) -> list[AuditEntry]:
        return await self._store.list_entries(clinic, search, after, limit)

    async def _finish(self, step: Step, work: Awaitable[Result]) -> Result:
        result = await work
        await self.reach(step)
        return result


class KillingStore(StoreWithSteps):
    """Kills its caller at one step."""

    def __init__(self, store: AuditStore, step: Step) -> None:
        super().__init__(store)
        self._fatal_step = step

    async def reach(self, step: Step) -> None:
        if step == self._fatal_step:
            raise Killed


class PartlyAppendingStore(StoreWithSteps):
    """Kills its caller when some of the entries are appended."""

    async def append(self, entries: Sequence[AuditEntry]) -> bool:
        await super().append(entries[: len(entries) // 2])
        raise Killed


class PausingStore(StoreWithSteps):
    """Pauses its caller at one step until `resume` is set."""

    def __init__(self, store: AuditStore, step: Step) -> None:
        super().__init__(store)
        self._pausing_step = step
        self.is_paused = asyncio.Event()
        self.resume = asyncio.Event()

    async def reach(self, step: Step) -> None:
        if step == self._pausing_step:
            self.is_paused.set()
            await self.resume.wait()


async def find_problems(
    store: AuditStore, clinic: ClinicId, keys: AuditKeys, known_heads: Sequence[Head] = ()
) -> list[Problem]:
    """What the verifier finds in the stored chain of a clinic."""
    heads = await store.find_heads(clinic)
    verifier = ChainVerifier("sessions", clinic, keys, [heads.released, *known_heads])
    found = [problem async for entry in store.stream(clinic) for problem in verifier.verify(entry)]
    return [*found, *verifier.finish()]
