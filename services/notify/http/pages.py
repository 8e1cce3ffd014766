"""The inbox as an HTML page. It works without JavaScript; with it, the page updates when something changes."""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from fastapi import APIRouter, Header
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.notify.domain import texts
from services.notify.http.inbox_updates import PING_SECONDS
from services.notify.http.shared_reads import SharedReads
from services.notify.service import InboxService
from services.notify.store import Store
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
    303: {"description": "Done, or no longer possible; redirects to the inbox."},
    403: {"description": "The request came from another site.", **_HTML_CONTENT},
    404: {"description": "No such alert.", **_HTML_CONTENT},
    **UNAVAILABLE_RESPONSE,
}
"""Errors are HTML pages here, not problem details."""

FetchSite = Annotated[str | None, Header(alias="Sec-Fetch-Site")]
"""Browsers state in this header which site a request comes from."""

Usefulness = Literal["useful", "not-useful"]
IS_USEFUL: dict[Usefulness, bool] = {"useful": True, "not-useful": False}


def routes(inbox: InboxService, store: Store) -> APIRouter:
    """The routes of the pages."""
    router = APIRouter(tags=["inbox"], default_response_class=HTMLResponse)
    pages = _Pages(inbox, store)
    style, script = ((TEMPLATES / name).read_text() for name in ("inbox.css", "inbox.js"))

    @router.get("/inbox/{clinician_id}", responses=INBOX_RESPONSES)
    async def show_inbox(clinician_id: UUID, page: str = "1") -> Response:
        """The clinician's alerts, as a page."""
        return await pages.render_or_unavailable(partial(pages.render_inbox, clinician_id, _parse_page(page)))

    @router.post("/inbox/{clinician_id}/alerts/{alert_id}/acknowledgement", status_code=303, responses=ACTION_RESPONSES)
    async def acknowledge(clinician_id: UUID, alert_id: UUID, fetch_site: FetchSite = None) -> Response:
        """The button "I take this on"."""
        return await pages.render_or_unavailable(
            partial(pages.perform, clinician_id, alert_id, fetch_site, inbox.acknowledge)
        )

    @router.post(
        "/inbox/{clinician_id}/alerts/{alert_id}/resolution/{usefulness}", status_code=303, responses=ACTION_RESPONSES
    )
    async def resolve(
        clinician_id: UUID, alert_id: UUID, usefulness: Usefulness, fetch_site: FetchSite = None
    ) -> Response:
        """The buttons "Done, this was useful" and "Done, not useful"."""
        action = partial(inbox.resolve, useful=IS_USEFUL[usefulness])
        return await pages.render_or_unavailable(partial(pages.perform, clinician_id, alert_id, fetch_site, action))

    @router.get("/inbox.css", include_in_schema=False)
    async def css() -> Response:
        return Response(style, media_type="text/css", headers={"Cache-Control": "public, max-age=300"})

    @router.get("/inbox.js", include_in_schema=False)
    async def js() -> Response:
        return Response(script, media_type="text/javascript", headers={"Cache-Control": "public, max-age=300"})

    return router


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

    def __init__(self, inbox: InboxService, store: Store) -> None:
        self._inbox = inbox
        self._store = store
        self._templates = _create_environment()
        self._shared_inboxes = SharedReads(self._render_inbox)

    async def render_inbox(self, clinician_id: UUID, page: int) -> Response:
        """A page of the clinician's alerts, in the clinician's time zone. Raises StoreUnavailable.

        A change makes every open page load it again, so the requests that wait for one share its rendering.
        """
        status, html = await self._shared_inboxes.get((clinician_id, page))
        return HTMLResponse(html, status, PAGE_HEADERS)

    async def _render_inbox(self, requested: tuple[UUID, int]) -> tuple[int, str]:
        clinician_id, page = requested
        zone = _parse_zone(await self._store.find_time_zone(clinician_id))
        try:
            view = await self._inbox.get_inbox(clinician_id, page)
            if page > view.pages:  # alerts have gone since the link was shown
                view = await self._inbox.get_inbox(clinician_id, view.pages)
        except NotFound:
            title = "We do not know this inbox"
            text = "Please check the address, or open the link in your last message. A new inbox may take a minute."
            return 404, self._templates.get_template("notice.html").render(title=title, text=text)
        values = {"clinician_id": clinician_id, "inbox": view, "zone": zone}
        template = self._templates.get_template("inbox.html")
        return 200, template.render(values, as_of=now(), ping_seconds=PING_SECONDS)

    async def perform(
        self, clinician_id: UUID, alert_id: UUID, fetch_site: str | None, action: Callable[[UUID], Awaitable[object]]
    ) -> Response:
        """Perform the action and redirect to the inbox, which shows the current state if the action was rejected."""
        if fetch_site not in (None, "same-origin", "none"):
            return self._render_notice(
                403, "This request came from another site", "Please open your inbox and press the button there."
            )
        try:
            if (await self._inbox.get_alert(alert_id)).clinician_id == clinician_id:
                await action(alert_id)
        except NotFound:
            return self._render_notice(
                404, "This alert was not found", "It may have been removed. Please open your inbox again."
            )
        except Rejected as error:
            log.info("inbox page was out of date: the action was rejected", alert_id=str(alert_id), code=error.code)
        return RedirectResponse(f"/inbox/{clinician_id}", 303, PAGE_HEADERS)

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
    environment.globals["texts"] = texts
    environment.filters["when"] = format_time
    return environment


def format_time(moment: datetime, zone: tzinfo) -> str:
    """As in a diary, `Tue 24 Nov 2026, 15:30`; in UTC if the local time is outside the calendar."""
    with suppress(OverflowError):
        moment = moment.astimezone(zone)
    return f"{moment:%a %-d %b %Y, %H:%M}"


def _parse_page(text: str) -> int:
    """The number of a page; the first if `text` is none, because what is appended to a link must not break it."""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,3}", text) else 1


def _parse_zone(name: str | None) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
