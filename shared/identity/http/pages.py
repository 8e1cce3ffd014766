"""Renders the pages of sign-in, with the headers that protect their readers."""

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from shared.identity.form_tokens import FORM_FIELD
from shared.identity.http import texts
from shared.identity.http.texts import Notice

TEMPLATES = Path(__file__).parent / "templates"
STYLE_PATH = "/sign-in.css"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",  # the address of an invitation is a secret; without it, POST has no Origin
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


def render_page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page from a template."""
    return HTMLResponse(_environment().get_template(template).render(values), status, HEADERS)


def render_notice(notice: Notice, continue_at: str = "", form_token: str = "") -> HTMLResponse:
    """A page that says what happened; browsers go on to `continue_at` by themselves.

    That is no redirect because browsers apply `form-action` to redirects after a form, too, and the issuer's pages may
    be at any address.
    """
    response = render_page("notice.html", notice.status, notice=notice, continue_at=continue_at, form_token=form_token)
    if notice.status == 503:
        response.headers["Retry-After"] = "5"
    return response


def sign_in_path(go_back_to: str) -> str:
    """The path at which a sign-in starts that leads back to a path of ours."""
    return f"/sign-in?go_back_to={quote(go_back_to, safe='/')}"


def read_style() -> str:
    """The style sheet of the pages."""
    return (TEMPLATES / "sign-in.css").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "texts": texts,
        "style_path": STYLE_PATH,
        "form_field": FORM_FIELD,
    }
    environment.filters["when"] = _format_time
    return environment


def _format_time(moment: datetime) -> str:
    return f"{moment:%a %-d %b %Y, %H:%M} UTC"
