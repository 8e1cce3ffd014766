"""What the pages of sign-in say."""

from dataclasses import dataclass

from shared.access.roles import Role


@dataclass(frozen=True)
class Notice:
    """A page that says what happened and what to do."""

    status: int
    title: str
    text: str
    can_sign_in: bool = True
    """Whether it has a link to the sign-in."""
    can_sign_out: bool = False
    """Whether it has a button that signs out of the account at the issuer."""


SIGNED_OUT = Notice(200, "You are signed out", "This browser no longer has access to Attune.")
SIGNED_OUT_MEANWHILE = Notice(
    401,
    "You are signed out",
    "Attune signs people out when they have done nothing for a while. What you just sent was not saved. Sign in, and "
    "send it again.",
)
UNTRUSTED = Notice(
    403,
    "This was not done",
    "The page that you used is not up to date, for example because you signed in again or chose another role since. "
    "Open the page again, and repeat what you wanted to do.",
    can_sign_in=False,
)
SIGN_IN_FAILED = Notice(
    400,
    "You are not signed in",
    "This sign-in was cancelled, took too long, was used already or was started in another browser. Sign in again.",
)
UNAVAILABLE = Notice(
    503,
    "Signing in does not work just now",
    "The sign-in service or our records cannot be reached. Nothing is lost. Try again in a minute. If you are already "
    "signed in in another window, you can go on there.",
)
REJECTED_ROLE = Notice(
    409,
    "You do not have this role",
    "Your clinic has changed your roles since you opened the page, so nothing was changed. Your own page lists them.",
    can_sign_in=False,
)
CONTINUES_AT_ISSUER = Notice(
    200, "Signing in", "You continue at the sign-in service of your clinic.", can_sign_in=False
)

NOTICE_BY_CODE = {
    "unknown-account": Notice(
        403,
        "We do not know this account",
        "You signed in, but this account belongs to no one at a clinic that uses Attune. Ask the administrator of your "
        "clinic for an invitation. If you have another account, sign out of this one first.",
        can_sign_in=False,
        can_sign_out=True,
    ),
    "invitation-not-valid": Notice(
        404,
        "This invitation does not work",
        "It was used already, was replaced by a newer one or is too old, or a part of the link got lost on the way. "
        "Ask the administrator of your clinic for a new invitation.",
        can_sign_in=False,
    ),
    "account-taken": Notice(
        409,
        "This account is in use already",
        "The account with which you signed in opens Attune for another person, here or at another clinic. The "
        "invitation is still open. Sign out of this account, and open the invitation again with your own.",
        can_sign_in=False,
        can_sign_out=True,
    ),
}
"""By the code of the error. Every other error is a sign-in that failed."""

ROLE_NAMES: dict[Role, str] = {
    "clinician": "Clinician",
    "deputy": "Deputy",
    "supervisor": "Supervisor",
    "desk": "Desk",
    "administrator": "Administrator",
    "privacy_officer": "Privacy officer",
    "ops": "Operations",
}
