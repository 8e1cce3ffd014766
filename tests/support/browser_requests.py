"""Requests as a browser or a program sends them, without a server."""

from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.types import Message

from shared.identity.cookies import LOGIN_COOKIE


def make_request(
    method: str = "GET",
    cookie: str | None = None,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    body: str = "",
) -> Request:
    """A request with the cookie of a login session, headers, and the fields of a form or another body."""
    sent = {name.lower(): value for name, value in (headers or {}).items()}
    if cookie is not None:
        sent["cookie"] = f"{LOGIN_COOKIE}={cookie}"
    if form is not None:
        sent["content-type"] = "application/x-www-form-urlencoded"
    scope = {
        "type": "http",
        "method": method,
        "path": "/",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }
    content = (urlencode(form) if form is not None else body).encode()

    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    return Request(scope, receive)
