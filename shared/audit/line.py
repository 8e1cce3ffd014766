"""One line of the audit: who did what with what, in which role, when, from where, with which outcome.

No field can hold free text, so no line can hold what a client answered, or a name. A line is never changed. A later
version reads the lines of every earlier one, and gets the same bytes: a new field is optional, with the default None.
"""

import json
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field

from shared.access.clinic_id import ClinicId
from shared.access.roles import Role
from shared.access.table.row import Service
from shared.runtime.model import Model

MAX_TARGETS = 1_000
"""As many as a page of a list shows, or more."""

ActorKind = Literal["person", "machine", "link", "command"]
"""Somebody who signed in, a clinic's system, the holder of a client's link, or a command of an operator."""

Outcome = Literal["allowed", "rejected", "hidden", "forbidden", "failed"]
"""`allowed` was done; `rejected` contradicted the state; `hidden` was answered as if the target did not exist;
`forbidden` is not allowed to the role with any target; `failed` had an error, and it is not known whether it was done.
"""


def _to_milliseconds(moment: datetime) -> datetime:
    """In UTC, with the precision of MongoDB: otherwise the bytes would differ after the line was stored."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _normalize_address(address: str) -> str:
    try:
        if "%" in address:  # before the name of an interface, which is free text
            raise ValueError
        return str(ip_address(address))
    except ValueError:
        raise ValueError("is not a network address") from None


Moment = Annotated[AwareDatetime, AfterValidator(_to_milliseconds)]
NetworkAddress = Annotated[str, AfterValidator(_normalize_address)]


class _Part(Model):
    """Frozen, and without unknown fields: a field that was added to a stored line is a change of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Actor(_Part):
    """Who acted."""

    kind: ActorKind
    id: UUID | None = None
    """Of the person or the machine."""
    role: Role | None = None
    """In which a person acted; None if no role was allowed to."""


class AuditTarget(_Part):
    """What was read or changed."""

    kind: str = Field(pattern=r"^[a-z][a-z_]{0,39}$")
    """Such as `relationship`."""
    id: UUID


class AuditLine(_Part):
    """One act, of a request or a command."""

    id: UUID
    """The chain holds the line once, however often it is delivered."""
    at: Moment
    clinic_id: ClinicId
    service: Service
    operation: str = Field(pattern=r"^[a-z][a-z_]*(, [a-z][a-z_]*)*$", max_length=200)
    """The operation of the row in the table of access; several if it was refused before one was chosen."""
    actor: Actor
    on_behalf_of: UUID | None = None
    """The clinician for whom a deputy acted."""
    targets: tuple[AuditTarget, ...] = Field(default=(), max_length=MAX_TARGETS)
    outcome: Outcome
    address: NetworkAddress | None = None
    """From which the request came."""
    request_id: UUID | None = None


def canonical_bytes(line: AuditLine) -> bytes:
    """The bytes that stand for a line, the same in every version and on every machine."""
    fields = line.model_dump(exclude_none=True)
    return json.dumps(fields, default=_encode, sort_keys=True, separators=(",", ":")).encode()


def parse_line(value: bytes) -> AuditLine:
    """The line that these bytes stand for. Raises ValidationError."""
    return AuditLine.model_validate_json(value)


def _encode(value: Any) -> str:
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else str(value)
