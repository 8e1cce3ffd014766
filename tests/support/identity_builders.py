"""Builders of who asks: bound people, machines, login sessions and started sign-ins."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from shared.access.clinic_id import ClinicId
from shared.identity.login_session import LoginSession
from shared.identity.records import BoundPerson, MachineRecord, StartedSignIn
from shared.identity.secret_values import create_secret, hash_secret

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ISSUER = "https://issuer.example"
CLINIC, OTHER_CLINIC = ClinicId(UUID(int=1)), ClinicId(UUID(int=2))


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **duration: float) -> None:
        """Let time pass."""
        self.time += timedelta(**duration)


def make_person(subject: str = "anna", **fields: Any) -> BoundPerson:
    """A person of the clinic whose account is bound."""
    defaults = {"person_id": uuid4(), "clinic_id": CLINIC, "issuer": ISSUER, "subject": subject}
    return BoundPerson.model_validate(defaults | fields)


def make_machine(client_id: str = "practice-system", **fields: Any) -> MachineRecord:
    """A machine of the clinic."""
    defaults = {
        "machine_id": uuid4(),
        "clinic_id": CLINIC,
        "issuer": ISSUER,
        "client_id": client_id,
        "scopes": {"sessions", "feedback"},
    }
    return MachineRecord.model_validate(defaults | fields)


def make_login_session(person_id: UUID, **fields: Any) -> LoginSession:
    """A login session that has just started."""
    started_at = fields.get("started_at", NOW)
    defaults = {
        "login_session_id": hash_secret(create_secret()),
        "person_id": person_id,
        "clinic_id": CLINIC,
        "browser": "Firefox",
        "started_at": started_at,
        "expires_at": started_at + timedelta(hours=12),
        "last_active_at": started_at,
    }
    return LoginSession.model_validate(defaults | fields)


def make_started_sign_in(**fields: Any) -> StartedSignIn:
    """A sign-in that was sent to the issuer."""
    defaults = {
        "state_hash": hash_secret(create_secret()),
        "browser_hash": hash_secret("browser"),
        "nonce": "nonce",
        "code_verifier": "verifier",
        "go_back_to": "/me",
        "started_at": NOW,
    }
    return StartedSignIn.model_validate(defaults | fields)
