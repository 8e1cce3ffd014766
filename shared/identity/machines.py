"""The use cases of machines: a clinic's system is added, changed and revoked, and found by its token."""

from collections.abc import Callable, Collection
from datetime import datetime
from uuid import UUID

from shared.access.clinic_id import ClinicId
from shared.access.roles import Scope
from shared.identity.cache import ReadCache
from shared.identity.records import MachineRecord
from shared.identity.store.protocol import IdentityStore


class Machines:
    """The machines of all clinics, from the store, and for a moment from a cache."""

    def __init__(self, store: IdentityStore, issuer: str, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._issuer = issuer
        self._clock = clock
        self._by_client = ReadCache(self._read_by_client, _is_valid, clock)
        self._by_id = ReadCache(store.get_machine, _is_valid, clock)

    async def save(
        self, clinic_id: ClinicId, machine_id: UUID, client_id: str, scopes: Collection[Scope]
    ) -> MachineRecord:
        """Add a machine under an id that the clinic chooses, or change it; one that was revoked works again.

        Raises AccountTaken, IdTaken and StoreUnavailable.
        """
        machine = MachineRecord(
            machine_id=machine_id,
            clinic_id=clinic_id,
            issuer=self._issuer,
            client_id=client_id,
            scopes=frozenset(scopes),
        )
        await self._store.save_machine(machine)
        self._forget(machine)
        return machine

    async def revoke(self, clinic_id: ClinicId, machine_id: UUID) -> None:
        """Let a machine of this clinic in no more. Idempotent. Raises StoreUnavailable."""
        await self._store.revoke_machine(clinic_id, machine_id, self._clock())
        machine = await self._store.get_machine(machine_id)
        if machine is not None:
            self._forget(machine)

    async def find(self, issuer: str, client_id: str) -> MachineRecord | None:
        """The machine that gets its tokens with this client id, if it may ask. Raises StoreUnavailable."""
        return await self._by_client.get((issuer, client_id))

    async def is_current(self, machine_id: UUID) -> bool:
        """Whether the machine from which a request or stream came may still ask. Raises StoreUnavailable."""
        return await self._by_id.get(machine_id) is not None

    async def _read_by_client(self, client: tuple[str, str]) -> MachineRecord | None:
        return await self._store.find_machine(*client)

    def _forget(self, machine: MachineRecord) -> None:
        self._by_id.remove(machine.machine_id)
        self._by_client.remove((machine.issuer, machine.client_id))


def _is_valid(machine: MachineRecord) -> bool:
    return machine.revoked_at is None
