"""An invitation is a link that works once."""

import pytest

from services.intake.domain.invitations import InvitationNotValid, Invitee, accept, add_invitee, invite
from tests.support.staff_builders import ANNA, CLINIC, START


def invited(token_hash: str) -> Invitee:
    invitee, _ = add_invitee(None, CLINIC, ANNA)
    return invite(invitee, token_hash, START)[0]


def test_a_link_that_was_replaced_meanwhile_is_not_accepted() -> None:
    """It was found by its hash, and the person was invited again before it was used up."""
    with pytest.raises(InvitationNotValid):
        accept(invited("new"), "old", START)

    assert accept(invited("new"), "new", START)[0].accepted_at == START


def test_nobody_is_invited_by_an_unknown_link() -> None:
    with pytest.raises(InvitationNotValid):
        accept(None, "hash", START)
    with pytest.raises(InvitationNotValid):
        accept(add_invitee(None, CLINIC, ANNA)[0], "hash", START)


def test_the_id_of_a_person_is_reserved_once() -> None:
    """A repetition does not end an invitation."""
    assert add_invitee(invited("hash"), CLINIC, ANNA) == (invited("hash"), ())
