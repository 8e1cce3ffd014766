"""Invitations to sign in: a link that works once, for some days, and of which only a hash is stored.

The decisions are pure: each takes what is known of a person, and returns what is known afterwards, or raises Rejected.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from services.intake.domain.people import StoredModel
from shared.errors import NotFound
from shared.events import Event, UtcDatetime

INVITATION_VALIDITY = timedelta(days=7)


class InvitationNotValid(NotFound):
    """The link was used, is too old, was replaced by a newer one, or never was one. Which, is not said."""

    def __init__(self) -> None:
        super().__init__(
            "invitation-not-valid",
            "This link is not valid (any more). Ask the administrator of your clinic for a new one.",
        )


class Invitation(StoredModel):
    """A link that was handed out, and not used yet."""

    token_hash: str
    expires_at: UtcDatetime


class Invitee(StoredModel):
    """Somebody who may be invited to sign in, under an id that no other clinic can use."""

    person_id: UUID
    clinic_id: UUID
    invitation: Invitation | None = None
    accepted_at: UtcDatetime | None = None
    """When an invitation was last accepted; None if the person cannot sign in."""


Decision = tuple[Invitee, Sequence[Event]]


def add_invitee(before: Invitee | None, clinic_id: UUID, person_id: UUID) -> Decision:
    """Reserve the id of a person for a clinic."""
    return before or Invitee(person_id=person_id, clinic_id=clinic_id), ()


def invite(before: Invitee, token_hash: str, now: datetime) -> Decision:
    """Hand out a link. It ends the one before."""
    invitation = Invitation(token_hash=token_hash, expires_at=now + INVITATION_VALIDITY)
    return before.model_copy(update={"invitation": invitation}), ()


def accept(before: Invitee | None, token_hash: str, now: datetime) -> Decision:
    """Use a link. Of two concurrent requests, one is rejected."""
    invitee = require_valid(before, token_hash, now)
    return invitee.model_copy(update={"invitation": None, "accepted_at": now}), ()


def require_valid(invitee: Invitee | None, token_hash: str, now: datetime) -> Invitee:
    """The invited person. Raises InvitationNotValid."""
    invitation = invitee.invitation if invitee else None
    if invitee is None or invitation is None or invitation.token_hash != token_hash or now >= invitation.expires_at:
        raise InvitationNotValid
    return invitee


def remove_invitee(before: Invitee) -> Decision:
    """End the link and the access of somebody who was removed."""
    return before.model_copy(update={"invitation": None, "accepted_at": None}), ()
