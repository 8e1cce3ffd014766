"""What Attune stores about those who ask: by this record, and never by claims, it knows who they are."""

from uuid import UUID

from pydantic import ConfigDict

from shared.access.clinic_id import ClinicId
from shared.access.roles import Scope
from shared.events.model import UtcDatetime
from shared.identity.principal import Machine
from shared.runtime.model import Model


class _Record(Model):
    model_config = ConfigDict(frozen=True)


class BoundPerson(_Record):
    """Somebody who accepted an invitation, and the account at the issuer that was used for it."""

    person_id: UUID
    clinic_id: ClinicId
    issuer: str
    subject: str


class MachineRecord(_Record):
    """A clinic's system, the client id with which it gets its tokens, and what it may do."""

    machine_id: UUID
    clinic_id: ClinicId
    issuer: str
    client_id: str
    scopes: frozenset[Scope]
    revoked_at: UtcDatetime | None = None

    @property
    def machine(self) -> Machine:
        """Who asks."""
        return Machine(self.machine_id, self.clinic_id, self.scopes)


class StartedSignIn(_Record):
    """A sign-in that was sent to the issuer and has not come back yet."""

    state_hash: str
    browser_hash: str
    """The hash of the cookie that only the browser has in which the sign-in started."""
    nonce: str
    code_verifier: str
    go_back_to: str
    """A path of ours."""
    invitation_hash: str | None = None
    started_at: UtcDatetime
