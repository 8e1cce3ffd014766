"""The store of identities in memory, with the same promises as the one in MongoDB; for tests."""

from datetime import datetime
from uuid import UUID

from shared.access.clinic_id import ClinicId
from shared.errors import IdTaken
from shared.identity.login_session import LoginSession
from shared.identity.records import BoundPerson, MachineRecord, StartedSignIn
from shared.identity.store.protocol import AccountTaken


class InMemoryIdentityStore:
    """A store in memory. Nothing is awaited between reading and writing, so every method is atomic."""

    def __init__(self) -> None:
        self._people: dict[UUID, BoundPerson] = {}
        self._machines: dict[UUID, MachineRecord] = {}
        self._login_sessions: dict[str, LoginSession] = {}
        self._started_sign_ins: dict[str, StartedSignIn] = {}

    async def bind_person(self, person: BoundPerson) -> None:
        bound = await self.find_person(person.issuer, person.subject)
        if bound is not None and bound.person_id != person.person_id:
            raise AccountTaken
        self._people[person.person_id] = person

    async def find_person(self, issuer: str, subject: str) -> BoundPerson | None:
        people = self._people.values()
        return next((person for person in people if (person.issuer, person.subject) == (issuer, subject)), None)

    async def unbind_person(self, person_id: UUID) -> None:
        self._people.pop(person_id, None)

    async def save_machine(self, machine: MachineRecord) -> None:
        stored = self._machines.get(machine.machine_id)
        if stored is not None and stored.clinic_id != machine.clinic_id:
            raise IdTaken
        other = await self.find_machine(machine.issuer, machine.client_id)
        if other is not None and other.machine_id != machine.machine_id:
            raise AccountTaken
        self._machines[machine.machine_id] = machine

    async def find_machine(self, issuer: str, client_id: str) -> MachineRecord | None:
        machines = self._machines.values()
        return next((each for each in machines if (each.issuer, each.client_id) == (issuer, client_id)), None)

    async def get_machine(self, machine_id: UUID) -> MachineRecord | None:
        return self._machines.get(machine_id)

    async def revoke_machine(self, clinic_id: ClinicId, machine_id: UUID, at: datetime) -> None:
        machine = self._machines.get(machine_id)
        if machine is not None and machine.clinic_id == clinic_id and machine.revoked_at is None:
            self._machines[machine_id] = machine.model_copy(update={"revoked_at": at})

    async def add_login_session(self, session: LoginSession) -> None:
        self._login_sessions[session.login_session_id] = session

    async def find_login_session(self, login_session_id: str) -> LoginSession | None:
        return self._login_sessions.get(login_session_id)

    async def list_login_sessions(self, person_id: UUID) -> list[LoginSession]:
        return sorted(self._open(person_id), key=lambda session: session.started_at, reverse=True)

    async def record_activity(self, login_session_id: str, at: datetime) -> None:
        session = self._login_sessions.get(login_session_id)
        if session is not None and session.ended_at is None and session.last_active_at < at:
            self._update(session, last_active_at=at)

    async def end_login_session(self, person_id: UUID, login_session_id: str, at: datetime) -> None:
        for session in self._open(person_id):
            if session.login_session_id == login_session_id:
                self._update(session, ended_at=at)

    async def end_login_sessions(self, person_id: UUID, at: datetime) -> list[str]:
        ended = [self._update(session, ended_at=at) for session in self._open(person_id)]
        return [session.login_session_id for session in ended]

    async def add_started_sign_in(self, started: StartedSignIn) -> None:
        self._started_sign_ins[started.state_hash] = started

    async def take_started_sign_in(self, state_hash: str, browser_hash: str) -> StartedSignIn | None:
        started = self._started_sign_ins.get(state_hash)
        if started is None or started.browser_hash != browser_hash:
            return None
        return self._started_sign_ins.pop(state_hash)

    def _open(self, person_id: UUID) -> list[LoginSession]:
        sessions = self._login_sessions.values()
        return [session for session in sessions if session.person_id == person_id and session.ended_at is None]

    def _update(self, session: LoginSession, **fields: datetime) -> LoginSession:
        updated = session.model_copy(update=fields)
        self._login_sessions[session.login_session_id] = updated
        return updated
