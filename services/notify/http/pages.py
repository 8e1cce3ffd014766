"""The inbox as an HTML page. It works without JavaScript; with it, the page updates when something changes."""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, tzinfo
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID, uuid5

import structlog
from fastapi import APIRouter, Header, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import FormData

from services.notify.domain import texts
from services.notify.domain.alert import Shown
from services.notify.domain.disposition import DispositionAction
from services.notify.domain.disposition_requests import DispositionRequest
from services.notify.http.inbox_streams import InboxPage
from services.notify.http.inbox_updates import PING_SECONDS
from services.notify.http.shared_reads import SharedReads
from services.notify.service import InboxAlert, InboxService
from shared.access.clinic_id import ClinicId
from shared.errors import NotFound, Rejected, Transient
from shared.runtime.clock import now

log = structlog.get_logger()

TEMPLATES = Path(__file__).parent.parent / "templates"
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}

UNAVAILABLE_TITLE = "This page is temporarily unavailable"
UNAVAILABLE_TEXT = "We cannot reach our records. Nothing is lost; please try again in a minute."

_HTML_CONTENT: dict[str, Any] = {"content": {"text/html": {}}}
UNAVAILABLE_RESPONSE: dict[int | str, dict[str, Any]] = {
    503: {"description": "Temporarily unavailable.", **_HTML_CONTENT}
}
INBOX_RESPONSES: dict[int | str, dict[str, Any]] = {
    404: {"description": "No such inbox.", **_HTML_CONTENT},
    **UNAVAILABLE_RESPONSE,
}
ACTION_RESPONSES: dict[int | str, dict[str, Any]] = {
    303: {"description": "Done; redirects to the inbox."},
    403: {"description": "The request came from another site.", **_HTML_CONTENT},
    404: {"description": "No such alert.", **_HTML_CONTENT},
    409: {"description": "The alert has changed since the page was opened; the page shows it.", **_HTML_CONTENT},
    **UNAVAILABLE_RESPONSE,
}
"""Errors are HTML pages here, not problem details."""

FetchSite = Annotated[str | None, Header(alias="Sec-Fetch-Site")]
"""Browsers state in this header which site a request comes from."""

Usefulness = Literal["useful", "not-useful"]
IS_USEFUL: dict[Usefulness, bool] = {"useful": True, "not-useful": False}


def routes(inbox: InboxService) -> APIRouter:
    """The routes of the pages."""
    router = APIRouter(tags=["inbox"], default_response_class=HTMLResponse)
    pages = _Pages(inbox)
    style, script = ((TEMPLATES / name).read_text() for name in ("inbox.css", "inbox.js"))

    @router.get("/inbox/{clinician_id}", responses=INBOX_RESPONSES)
    async def show_inbox(clinician_id: UUID, page: str = "1") -> Response:
        """The clinician's alerts, as a page."""
        return await pages.render_or_unavailable(partial(pages.render_inbox, None, clinician_id, _parse_page(page)))

    _add_action_routes(router, pages)

    @router.get("/inbox.css", include_in_schema=False)
    async def css() -> Response:
        return Response(style, media_type="text/css", headers={"Cache-Control": "public, max-age=300"})

    @router.get("/inbox.js", include_in_schema=False)
    async def js() -> Response:
        return Response(script, media_type="text/javascript", headers={"Cache-Control": "public, max-age=300"})

    return router


def _add_action_routes(router: APIRouter, pages: "_Pages") -> None:
    action_path = "/inbox/{clinician_id}/alerts/{alert_id}"

    @router.post(f"{action_path}/acknowledgement", status_code=303, responses=ACTION_RESPONSES)
    async def acknowledge(
        clinician_id: UUID, alert_id: UUID, request: Request, fetch_site: FetchSite = None
    ) -> Response:
        """The button "I take this on"."""
        async with request.form() as form:
            action = parse_request(form, "acknowledged")
            return await pages.perform(clinician_id, alert_id, fetch_site, action, _page_of(form))

    @router.post(f"{action_path}/resolution/{{usefulness}}", status_code=303, responses=ACTION_RESPONSES)
    async def resolve(
        clinician_id: UUID, alert_id: UUID, usefulness: Usefulness, request: Request, fetch_site: FetchSite = None
    ) -> Response:
        """The buttons "Done, this was useful" and "Done, not useful"."""
        async with request.form() as form:
            action = parse_request(form, "resolved", IS_USEFUL[usefulness])
            return await pages.perform(clinician_id, alert_id, fetch_site, action, _page_of(form))

    @router.post(f"{action_path}/reopening", status_code=303, responses=ACTION_RESPONSES)
    async def reopen(clinician_id: UUID, alert_id: UUID, request: Request, fetch_site: FetchSite = None) -> Response:
        """The button "Undo"."""
        async with request.form() as form:
            action = parse_request(form, "reopened")
            return await pages.perform(clinician_id, alert_id, fetch_site, action, _page_of(form))


def parse_request(form: FormData, action: DispositionAction, useful: bool | None = None) -> DispositionRequest | None:
    """What the button of a page asks for; None if it does not say what was shown, as on a page of an older version."""
    fields = {name: str(form.get(name, "")) for name in ("id", "severity", "status", "evidence_version")}
    try:
        request_id = UUID(fields.pop("id"))
        disposition_id = UUID(str(form.get("disposition_id", ""))) if action == "reopened" else None
        return DispositionRequest(request_id, action, Shown.model_validate(fields), useful, disposition_id)
    except ValueError:
        return None


def inbox_path(clinician_id: UUID, page: int) -> str:
    """The address of a page of the inbox."""
    return f"/inbox/{clinician_id}" if page == 1 else f"/inbox/{clinician_id}?page={page}"


def request_id(alert: InboxAlert, path: str) -> UUID:
    """The id of what a button asks for: the same until the alert changes or something is done about it."""
    return uuid5(alert.alert_id, f"{path}:{alert.shown.model_dump_json()}:{alert.disposition_count}")


def render_error_page(status: int) -> Response:
    """The page that people get for an address without a page, and for a request that failed."""
    if status in (404, 405):
        title = "This page was not found"
        text = "Perhaps a part of the address got lost. Please open the link exactly as you received it."
    elif status >= 500:
        title, text = UNAVAILABLE_TITLE, UNAVAILABLE_TEXT
    else:
        title = "This request could not be read"
        text = "Nothing was changed. Please open your inbox again and press the button there."
    page = _create_environment().get_template("notice.html").render(title=title, text=text)
    return HTMLResponse(page, status, PAGE_HEADERS)


class _Pages:
    """Renders every page that clinicians see."""

    def __init__(self, inbox: InboxService) -> None:
        self._inbox = inbox
        self._templates = _create_environment()
        self._shared_inboxes = SharedReads(self._render_inbox)

    async def render_inbox(self, clinic: ClinicId | None, clinician_id: UUID, page: int) -> Response:
        """A page of the clinician's alerts, in the clinician's time zone. Raises StoreUnavailable.

        A change makes every open page load it again, so the requests that wait for one share its rendering.
        """
        status, html = await self._shared_inboxes.get((clinic, clinician_id, page))
        return HTMLResponse(html, status, PAGE_HEADERS)

    async def _render_inbox(self, requested: InboxPage) -> tuple[int, str]:
        clinic, clinician_id, page = requested
        zone = await self._inbox.find_zone(clinic, clinician_id)
        try:
            view = await self._inbox.get_inbox(clinic, clinician_id, page)
            if page > view.pages:  # alerts have gone since the link was shown
                view = await self._inbox.get_inbox(clinic, clinician_id, view.pages)
        except NotFound:
            title = "We do not know this inbox"
            text = "Please check the address, or open the link in your last message. A new inbox may take a minute."
            return 404, self._templates.get_template("notice.html").render(title=title, text=text)
        values = {"clinician_id": clinician_id, "inbox": view, "page": view.page, "zone": zone}
        template = self._templates.get_template("inbox.html")
        return 200, template.render(values, as_of=now(), ping_seconds=PING_SECONDS)

    async def perform(
        self, clinician_id: UUID, alert_id: UUID, fetch_site: str | None, request: DispositionRequest | None, page: int
    ) -> Response:
        """Do what a button asks for and redirect to the inbox; or show the alert as it is now, and why it was not done.

        `request` is None if the page did not say what it showed. `page` is the one of the inbox that showed the button.
        """
        if fetch_site not in (None, "same-origin", "none"):
            return self._render_notice(
                403, "This request came from another site", "Please open your inbox and press the button there."
            )
        return await self.render_or_unavailable(partial(self._perform, clinician_id, alert_id, request, page))

    async def _perform(
        self, clinician_id: UUID, alert_id: UUID, request: DispositionRequest | None, page: int
    ) -> Response:
        try:
            if (await self._inbox.get_alert(None, alert_id)).clinician_id == clinician_id:
                if request is None:
                    return await self._render_changed(clinician_id, alert_id, "alert-changed", page)
                await self._inbox.dispose(None, alert_id, request)
        except NotFound:
            return self._render_notice(
                404, "This alert was not found", "It may have been removed. Please open your inbox again."
            )
        except Rejected as error:
            log.info("inbox page was out of date: the action was rejected", alert_id=str(alert_id), code=error.code)
            return await self._render_changed(clinician_id, alert_id, error.code, page)
        return RedirectResponse(inbox_path(clinician_id, page), 303, PAGE_HEADERS)

    async def _render_changed(self, clinician_id: UUID, alert_id: UUID, code: str, page: int) -> Response:
        """The alert as it is now, and that nothing was done."""
        alert = await self._inbox.get_alert(None, alert_id)
        zone = await self._inbox.find_zone(None, clinician_id)
        title, text = texts.REFUSALS.get(code, texts.CHANGED)
        values = {"clinician_id": clinician_id, "alert": alert, "page": page, "zone": zone}
        template = self._templates.get_template("changed.html")
        return HTMLResponse(template.render(values, title=title, text=text), 409, PAGE_HEADERS)

    async def render_or_unavailable(self, render: Callable[[], Awaitable[Response]]) -> Response:
        """The page, or a 503 page that asks to try again."""
        try:
            return await render()
        except Transient as error:
            log.warning("inbox page not rendered: store unavailable", reason=str(error))
            return self._render_notice(503, UNAVAILABLE_TITLE, UNAVAILABLE_TEXT)

    def _render_notice(self, status: int, title: str, text: str) -> Response:
        page = self._templates.get_template("notice.html").render(title=title, text=text)
        return HTMLResponse(page, status, PAGE_HEADERS)


@cache
def _create_environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["inbox_path"] = inbox_path
    environment.globals["texts"] = texts
    environment.globals["request_id"] = request_id
    environment.globals["describe_end"] = describe_end
    environment.filters["when"] = format_time
    return environment


def describe_end(alert: InboxAlert, zone: tzinfo) -> str:
    """Why the episode of an alert ended, with the day of its first sign where that matters."""
    assert alert.end_reason is not None  # noqa: S101 - the template asks only then
    return texts.describe_end(alert.end_reason, alert.shift, f"{_in_zone(alert.first_sign_at, zone):%-d %B}")


def format_time(moment: datetime, zone: tzinfo) -> str:
    """As in a diary, `Tue 24 Nov 2026, 15:30`."""
    return f"{_in_zone(moment, zone):%a %-d %b %Y, %H:%M}"


def _in_zone(moment: datetime, zone: tzinfo) -> datetime:
    """The local time; in UTC if that is outside the calendar."""
    with suppress(OverflowError):
        return moment.astimezone(zone)
    return moment


def _page_of(form: FormData) -> int:
    return _parse_page(str(form.get("page", "")))


def _parse_page(text: str) -> int:
    """The number of a page; the first if `text` is none, because what is appended to a link must not break it."""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,3}", text) else 1
