"""The token in our forms, which shows that a page of this login session sent the request.

It is computed from the cookie, so that nothing has to be stored and every service can check it. It says nothing about
the cookie, and is another one after every sign-in.
"""

import hmac

from starlette.requests import Request

from shared.identity.cookies import LOGIN_COOKIE, read_cookie
from shared.identity.secret_values import hash_secret

FORM_FIELD = "form_token"
HEADER = "Attune-Form-Token"
"""For requests of our scripts that have no form."""
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


def create_form_token(cookie_secret: str) -> str:
    """The token of the login session that has this cookie."""
    key = hmac.digest(cookie_secret.encode(), b"attune form token", "sha256")
    return hmac.digest(key, hash_secret(cookie_secret).encode(), "sha256").hex()


def form_token_of(request: Request) -> str:
    """The token that the forms of a page must contain; empty if no cookie came with the request."""
    secret = read_cookie(request, LOGIN_COOKIE)
    return "" if secret is None else create_form_token(secret)


async def has_form_token(request: Request, cookie_secret: str) -> bool:
    """Whether the header or the form of the request has the token of this login session."""
    token = request.headers.get(HEADER) or await _read_form_field(request)
    return hmac.compare_digest(token.encode(), create_form_token(cookie_secret).encode())


async def _read_form_field(request: Request) -> str:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in FORM_TYPES:
        return ""
    value = (await request.form()).get(FORM_FIELD)  # Starlette parses a form once; the route gets the same
    return value if isinstance(value, str) else ""
