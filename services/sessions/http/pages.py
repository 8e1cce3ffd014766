"""The form for client and clinician: on a phone, without an account, without JavaScript.

Opening a link changes nothing, because mail programs and messengers open every link. Sending the form uses up all
links to it.
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
from services.sessions.http.crisis import crisis_box
from services.sessions.metrics import Page, SessionsMetrics
from services.sessions.service import Reader, SessionsService
from shared.errors import Rejected, Transient
from shared.events import Answer
from shared.http.error_pages import ErrorPage

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
CLOSED_FORM_PAGES: dict[str, tuple[int, Page, str, str]] = {
    "unknown-link": (
        404,
        "unknown-link",
        "This link does not work",
        "Perhaps a part of it got lost on the way. "
        "Please open the link exactly as you received it, or ask your clinic for a new one.",
    ),
    "link-used": (
        410,
        "link-used",
        "This form has been answered already",
        "The answer has arrived, and there is nothing left to do. "
        "If you would like to change what was said, please tell your clinic.",
    ),
    "link-expired": (
        410,
        "link-expired",
        "The time for this form is over",
        "That is no problem: you will be asked again after the next session. "
        "If there is something that you would still like to say, please tell your clinic.",
    ),
    "session-not-held": (
        410,
        "session-not-held",
        "There is nothing to answer at the moment",
        "Your clinic has changed what it recorded about this session: it did not take place, or has not ended yet. "
        "If it did take place, please tell your clinic; this link will then work again.",
    ),
    "no-consent": (
        410,
        "no-consent",
        "You are not being asked",
        "You said that you do not want to be asked about your sessions, so there is nothing to answer here.",
    ),
}

PAGE_RESPONSES: dict[int | str, dict[str, Any]] = {
    404: {"description": "No such link.", "content": {"text/html": {}}},
    410: {"description": "Used, expired, session not held, or consent withdrawn.", "content": {"text/html": {}}},
}
"""These routes return pages for people, not problem details."""
FORM_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/x-www-form-urlencoded": {"schema": questions.FORM_SCHEMA}},
    }
}
UNKNOWN_READER = Reader()


class InvalidForm(Exception):
    """The form cannot be accepted as it was sent. The text explains to the person why."""


def routes(service: SessionsService, crisis_text: str) -> APIRouter:
    """The routes of the form."""
    router = APIRouter(tags=["forms"])
    pages = _FormPages(service, PageRenderer(service.metrics, crisis_text))
    css = (TEMPLATES / "form.css").read_text()

    @router.get("/f/{token}", response_class=HTMLResponse, responses=PAGE_RESPONSES)
    async def show_form(token: str) -> HTMLResponse:
        """The form of a link. Opening it changes nothing."""
        try:
            return await pages.form(token)
        except Rejected as error:
            return await pages.closed_form(token, error)
        except Transient as error:
            return pages.unavailable(error)

    @router.post("/f/{token}", response_class=HTMLResponse, responses=PAGE_RESPONSES, openapi_extra=FORM_BODY)
    async def submit_form(token: str, request: Request) -> HTMLResponse:
        """The answer, form-encoded: the elements from 0 to 10, `tension` and `talked_about`. Uses the link up."""
        async with request.form() as form_data:
            try:
                reader = await service.answer_form(token, parse_answer(form_data))
                return pages.renderer.render("thanks", 200, "thanks.html", reader)
            except InvalidForm as invalid:
                return await pages.invalid_form(token, form_data, str(invalid))
            except Rejected as error:
                return await pages.closed_form(token, error)
            except Transient as error:
                return pages.unavailable(error)

    @router.get("/form.css", include_in_schema=False)
    async def stylesheet() -> Response:
        return Response(css, media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})

    return router


def parse_answer(form_data: FormData) -> Answer:
    """Return the answer in a form. Each element may be left out, but not all. Raises InvalidForm."""
    ratings = {name: _parse_rating(form_data, name) for name in questions.ELEMENTS}
    given_ratings = {name: rating for name, rating in ratings.items() if rating is not None}
    if not given_ratings:
        raise InvalidForm("Please choose a number for at least one of the statements. The others may stay open.")
    tension = _parse_choice(form_data, "tension", questions.TENSION_CHOICES)
    talked_about = _parse_choice(form_data, "talked_about", questions.TALKED_ABOUT_CHOICES)
    if talked_about is not None and tension in (None, "none"):
        raise InvalidForm(
            "You said whether you talked about a moment of tension, but not that there was one. "
            "Please say whether there was one, or leave the last question open."
        )
    try:
        return Answer.model_validate(
            {
                "ratings": given_ratings,
                "tension": tension,
                "talked_about": talked_about,
                "language": questions.LANGUAGE,
            }
        )
    except ValidationError:
        raise InvalidForm("Something in this form is not as it should be. Please look through it again.") from None


def _parse_rating(form_data: FormData, name: str) -> int | None:
    value = _parse_choice(form_data, name, {str(rating): "" for rating in questions.RATINGS})
    return None if value is None else int(value)


def _parse_choice(form_data: FormData, name: str, choices: Mapping[Any, str]) -> str | None:
    values = [value for value in form_data.getlist(name) if value != ""]
    if not values:
        return None
    if len(values) > 1 or values[0] not in choices:
        raise InvalidForm("One of the answers is not among the choices. Please look through the form again.")
    return str(values[0])


def create_error_page(metrics: SessionsMetrics, crisis_text: str) -> ErrorPage:
    """The page that people get for an address without a page, and for a form that cannot be read."""
    renderer = PageRenderer(metrics, crisis_text)

    def render_error_page(status: int) -> Response:
        if status in (404, 405):
            _, page, title, text = CLOSED_FORM_PAGES["unknown-link"]
            return renderer.render(page, status, "message.html", title=title, text=text)
        if status >= 500:
            return renderer.unavailable(status)
        return renderer.render(
            "unreadable-request",
            status,
            "message.html",
            title="This did not arrive as it should",
            text="What was sent could not be read, and nothing of it was kept. "
            "Please open the link from your message again and fill in the form there.",
        )

    return render_error_page


class PageRenderer:
    """Renders pages with the headers that protect their readers, and counts them."""

    def __init__(self, metrics: SessionsMetrics, crisis_text: str) -> None:
        self._metrics = metrics
        self._crisis_text = crisis_text
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["questions"] = questions

    def render(
        self, page: Page, status: int, template: str, reader: Reader = UNKNOWN_READER, **context: Any
    ) -> HTMLResponse:
        self._metrics.count_page(page)
        crisis = crisis_box(reader, self._crisis_text)
        html = self._templates.get_template(template).render(crisis=crisis, **context)
        return HTMLResponse(html, status, HEADERS | ({"Retry-After": "5"} if status == 503 else {}))

    def unavailable(self, status: int = 503) -> HTMLResponse:
        """A page that asks the person to send the form again."""
        return self.render(
            "unavailable",
            status,
            "message.html",
            title="Just now this does not work",
            text="We could not reach our records, so your answer may not have been kept. "
            "Please go back and send it again in a minute; sending it twice does no harm.",
        )


class _FormPages:
    """The pages of the form."""

    def __init__(self, service: SessionsService, renderer: PageRenderer) -> None:
        self.renderer = renderer
        self._service = service

    async def form(self, token: str, entered: Mapping[str, Any] | None = None, message: str = "") -> HTMLResponse:
        """The form, filled with what was `entered`. Raises Rejected and StoreUnavailable."""
        form = await self._service.open_form(token)
        return self.renderer.render(
            "invalid-form" if message else "form",
            422 if message else 200,
            "form.html",
            Reader(form.rater, form.clinic),
            form=form,
            entered=entered or {},
            message=message,
        )

    async def invalid_form(self, token: str, form_data: FormData, message: str) -> HTMLResponse:
        """The form with the reason why it is invalid, or the reason why it can no longer be answered."""
        try:
            return await self.form(token, form_data, message)
        except Rejected as error:
            return await self.closed_form(token, error)
        except Transient as error:
            return self.unavailable(error)

    async def closed_form(self, token: str, error: Rejected) -> HTMLResponse:
        """A page that says why the form cannot be answered."""
        # Every other code means that the relationship is gone, so the link leads nowhere.
        code = error.code if error.code in CLOSED_FORM_PAGES else "unknown-link"
        status, page, title, text = CLOSED_FORM_PAGES[code]
        try:
            reader = await self._service.find_reader(token)
        except Transient:
            reader = UNKNOWN_READER  # the page is worth more than the name of the clinic
        return self.renderer.render(page, status, "message.html", reader, title=title, text=text)

    def unavailable(self, error: Transient) -> HTMLResponse:
        """A page that asks the person to send the form again."""
        log.warning("Form page not shown: the store is unavailable", reason=str(error))
        return self.renderer.unavailable()
