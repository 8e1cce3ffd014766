"""The form that people answer: on a phone, without an account, without JavaScript.

Looking at a link changes nothing, for mail programs and messengers look at every link; sending the form uses it up.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError
from starlette.datastructures import FormData

from services.sessions.http import questions
from services.sessions.metrics import Page
from services.sessions.service import Desk
from shared.errors import Refused, Transient
from shared.events import Answer

log = structlog.get_logger()

TEMPLATES = Path(__file__).parent.parent / "templates"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",  # the address of the page is the secret
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
ENDINGS: dict[str, tuple[int, Page, str, str]] = {
    "unknown-link": (
        404,
        "unknown-link",
        "This link does not work",
        "Perhaps a part of it got lost on the way, or a newer one has been sent since. "
        "Please open the latest link exactly as you received it, or ask your clinic for a new one.",
    ),
    "link-used": (
        410,
        "link-used",
        "This form has been answered already",
        "Each link works once, and the answer has arrived. There is nothing left to do. "
        "If you would like to change what was said, please tell your clinic.",
    ),
    "link-expired": (
        410,
        "link-expired",
        "The time for this form is over",
        "That is no problem: you will be asked again after the next session. "
        "If you would still like to answer, please ask your clinic for a new link.",
    ),
    "no-consent": (
        410,
        "no-consent",
        "You are not being asked",
        "You said that you do not want to be asked about your sessions, so there is nothing to answer here.",
    ),
}

AS_PAGES: dict[int | str, dict[str, Any]] = {
    404: {"description": "No such link.", "content": {"text/html": {}}},
    410: {"description": "Used, expired, or consent withdrawn.", "content": {"text/html": {}}},
}
"""People get a page where programs would get problem details."""


class Incomplete(Exception):
    """The form cannot be taken as it is; the text tells the person why."""


def routes(desk: Desk, crisis_text: str) -> APIRouter:
    """The routes for people."""
    router = APIRouter(tags=["forms"])
    pages = _Pages(desk, crisis_text)
    style = (TEMPLATES / "form.css").read_text()

    @router.get("/f/{token}", response_class=HTMLResponse, responses=AS_PAGES)
    async def form(token: str) -> HTMLResponse:
        """The form behind a link; looking at it changes nothing."""
        try:
            return await pages.form(token)
        except Refused as error:
            return pages.ending(error)
        except Transient as error:
            return pages.unavailable(error)

    @router.post("/f/{token}", response_class=HTMLResponse, responses=AS_PAGES)
    async def answer(token: str, request: Request) -> HTMLResponse:
        """The answer, form-encoded: the elements from 0 to 10, `tension` and `talked_about`. Uses the link up."""
        async with request.form() as form_data:
            try:
                await desk.answer_form(token, read(form_data))
                return pages.page("thanks", 200, "thanks.html")
            except Incomplete as invalid:
                return await pages.form_again(token, form_data, str(invalid))
            except Refused as error:
                return pages.ending(error)
            except Transient as error:
                return pages.unavailable(error)

    @router.get("/form.css", include_in_schema=False)
    async def css() -> Response:
        return Response(style, media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})

    return router


def read(entered: FormData) -> Answer:
    """The answer in what was entered; each element may be left out, but not all. Raises Incomplete."""
    ratings = {name: _rating(entered, name) for name in questions.ELEMENTS}
    given_ratings = {name: rating for name, rating in ratings.items() if rating is not None}
    if not given_ratings:
        raise Incomplete("Please choose a number for at least one of the statements. The others may stay open.")
    tension = _one_of(entered, "tension", questions.TENSIONS)
    talked_about = _one_of(entered, "talked_about", questions.TALKS)
    if talked_about is not None and tension in (None, "none"):
        raise Incomplete(
            "You said whether you talked about a moment of tension, but not that there was one. "
            "Please say whether there was one, or leave the last question open."
        )
    try:
        return Answer.model_validate({"ratings": given_ratings, "tension": tension, "talked_about": talked_about})
    except ValidationError:
        raise Incomplete("Something in this form is not as it should be. Please look through it again.") from None


def _rating(entered: FormData, name: str) -> int | None:
    value = _one_of(entered, name, {str(rating): "" for rating in questions.RATINGS})
    return None if value is None else int(value)


def _one_of(entered: FormData, name: str, choices: Mapping[Any, str]) -> str | None:
    values = [value for value in entered.getlist(name) if value != ""]
    if not values:
        return None
    if len(values) > 1 or values[0] not in choices:
        raise Incomplete("One of the answers is not among the choices. Please look through the form again.")
    return str(values[0])


class _Pages:
    """Every page that people see."""

    def __init__(self, desk: Desk, crisis_text: str) -> None:
        self._desk = desk
        self._crisis_text = crisis_text
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["questions"] = questions

    async def form(self, token: str, entered: Mapping[str, Any] | None = None, message: str = "") -> HTMLResponse:
        """The form, with what was `entered` kept. Raises Refused and StoreUnavailable."""
        opened = await self._desk.open_form(token)
        return self.page(
            "incomplete" if message else "form",
            422 if message else 200,
            "form.html",
            form=opened,
            entered=entered or {},
            message=message,
            crisis_text=self._crisis_text,
        )

    async def form_again(self, token: str, entered: FormData, message: str) -> HTMLResponse:
        """The form with the reason why it could not be taken, or why it cannot be answered any more."""
        try:
            return await self.form(token, entered, message)
        except Refused as error:
            return self.ending(error)
        except Transient as error:
            return self.unavailable(error)

    def ending(self, error: Refused) -> HTMLResponse:
        """Why there is nothing to answer here."""
        # Other refusals say that the relationship is gone: to whoever holds the link, it leads nowhere any more.
        code = error.kind if error.kind in ENDINGS else "unknown-link"
        status, page, title, text = ENDINGS[code]
        return self.page(page, status, "message.html", title=title, text=text)

    def unavailable(self, error: Transient) -> HTMLResponse:
        """Nothing was lost, and nothing was taken."""
        log.warning("could not answer a person", reason=str(error))
        return self.page(
            "unavailable",
            503,
            "message.html",
            title="Just now this does not work",
            text="We could not reach our records, so your answer may not have been kept. "
            "Please go back and send it again in a minute; sending it twice does no harm.",
        )

    def page(self, page: Page, status: int, template: str, **values: Any) -> HTMLResponse:
        """A page with the headers that protect who reads it."""
        self._desk.metrics.showed(page)
        html = self._templates.get_template(template).render(**values)
        return HTMLResponse(html, status, HEADERS | ({"Retry-After": "5"} if status == 503 else {}))
