"""What must be remembered to know who asks."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from shared.access.clinic_id import ClinicId
from shared.errors import Rejected
from shared.identity.login_session import LoginSession
from shared.identity.records import BoundPerson, MachineRecord, StartedSignIn


class AccountTaken(Rejected):
    """The account at the issuer, or the client id, is bound to another one already. Nothing was written."""

    def __init__(self) -> None:
        super().__init__("account-taken", "This account is in use already, here or at another clinic.")


class IdentityStore(Protocol):
    """Stores who may ask. Every method raises StoreUnavailable, and may be repeated.

    Most methods take no clinic: they serve requests of which it is not known yet from which clinic they come.
    """

    async def bind_person(self, person: BoundPerson) -> None:
        """Bind the account to the person, in place of an account that was bound before. Raises AccountTaken."""

    async def find_person(self, issuer: str, subject: str) -> BoundPerson | None:
        """The person to whom this account is bound."""

    async def unbind_person(self, person_id: UUID) -> None:
        """Forget the account of a person; it can be bound to another one."""

    async def save_machine(self, machine: MachineRecord) -> None:
        """Add a machine, or change it within its clinic. Raises AccountTaken, and IdTaken for another clinic's id."""

    async def find_machine(self, issuer: str, client_id: str) -> MachineRecord | None:
        """The machine that gets its tokens with this client id, even if it was revoked."""

    async def get_machine(self, machine_id: UUID) -> MachineRecord | None:
        """The machine with this id, even if it was revoked."""

    async def revoke_machine(self, clinic_id: ClinicId, machine_id: UUID, at: datetime) -> None:
        """Revoke a machine of the clinic, if it exists. The time of the first revocation stays."""

    async def add_login_session(self, session: LoginSession) -> None:
        """Add a login session under its id, which nothing else has."""

    async def find_login_session(self, login_session_id: str) -> LoginSession | None:
        """The login session, even if it has ended; None a while after that."""

    async def list_login_sessions(self, person_id: UUID) -> list[LoginSession]:
        """The person's login sessions that no person ended; the latest first."""

    async def record_activity(self, login_session_id: str, at: datetime) -> None:
        """Write that the person was active, unless a later activity or the end was written."""

    async def end_login_session(self, person_id: UUID, login_session_id: str, at: datetime) -> None:
        """End a login session, if it is one of this person. The time of the first end stays."""

    async def end_login_sessions(self, person_id: UUID, at: datetime) -> list[str]:
        """End all login sessions of a person; return the ids of those that had not ended."""

    async def add_started_sign_in(self, started: StartedSignIn) -> None:
        """Add a sign-in under the hash of its state, which nothing else has."""

    async def take_started_sign_in(self, state_hash: str, browser_hash: str) -> StartedSignIn | None:
        """Remove and return the sign-in that this browser started; of several requests, one gets it."""
