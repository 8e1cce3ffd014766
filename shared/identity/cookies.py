"""The two cookies: of a login session, and of a browser in which a sign-in has started.

Browsers accept a name with `__Host-` only for this host, over a secure connection, and for all of its paths: no
neighbouring host can set it. SameSite=Lax lets links in messages work, and keeps it from requests of other sites.
"""

from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from shared.identity.secret_values import MAX_SECRET_LENGTH

CookieName = Literal["__Host-attune", "__Host-attune-sign-in"]
LOGIN_COOKIE: CookieName = "__Host-attune"
SIGN_IN_COOKIE: CookieName = "__Host-attune-sign-in"
SIGN_IN_SECONDS = 600
"""As long as a started sign-in can be finished."""


def read_cookie(request: Request, name: CookieName) -> str | None:
    """The value of a cookie, unless it cannot be one of ours."""
    value = request.cookies.get(name, "")
    return value if 0 < len(value) <= MAX_SECRET_LENGTH and value.isascii() else None


def set_login_cookie(response: Response, secret: str) -> None:
    """Sign this browser in until the login session ends or the browser is closed."""
    _set_cookie(response, LOGIN_COOKIE, secret, None)


def set_sign_in_cookie(response: Response, secret: str) -> None:
    """Mark the browser in which a sign-in has started."""
    _set_cookie(response, SIGN_IN_COOKIE, secret, SIGN_IN_SECONDS)


def clear_login_cookie(response: Response) -> None:
    """Remove the cookie of the login session."""
    _set_cookie(response, LOGIN_COOKIE, "", 0)


def _set_cookie(response: Response, name: CookieName, value: str, max_age_seconds: int | None) -> None:
    response.set_cookie(name, value, max_age=max_age_seconds, path="/", secure=True, httponly=True, samesite="lax")
