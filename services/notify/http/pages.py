"""The inbox as a page: rendered here, whole without JavaScript; with it, it renews itself when something changes."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from fastapi import APIRouter, Header
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.notify.domain import wording
from services.notify.service import Inbox
from services.notify.store import Store
from shared.errors import Refused, Transient, Unknown

log = structlog.get_logger()

TEMPLATES = Path(__file__).parent.parent / "templates"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}

_PAGE: dict[str, Any] = {"content": {"text/html": {}}}
UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: {"description": "Just now this does not work.", **_PAGE}}
PRESSED: dict[int | str, dict[str, Any]] = {
    303: {"description": "Done, or no longer possible: see the inbox."},
    403: {"description": "Another site sent this.", **_PAGE},
    404: {"description": "No such alert.", **_PAGE},
    **UNAVAILABLE,
}
"""People get a page where programs would get problem details."""

FromWhere = Annotated[str | None, Header(alias="Sec-Fetch-Site")]
"""Browsers say with it which site a request comes from."""

Word = Literal["useful", "not-useful"]
USEFUL: dict[Word, bool] = {"useful": True, "not-useful": False}


def routes(inbox: Inbox, store: Store) -> APIRouter:
    """The routes for people."""
    router = APIRouter(tags=["inbox"], default_response_class=HTMLResponse)
    pages = _Pages(inbox, store)
    style, script = ((TEMPLATES / name).read_text() for name in ("inbox.css", "inbox.js"))

    @router.get("/inbox/{clinician_id}", responses=UNAVAILABLE)
    async def read(clinician_id: UUID) -> Response:
        """The clinician's alerts, as a page."""
        return await pages.answered(partial(pages.inbox_of, clinician_id))

    @router.post("/inbox/{clinician_id}/alerts/{alert_id}/acknowledgement", status_code=303, responses=PRESSED)
    async def acknowledge(clinician_id: UUID, alert_id: UUID, from_where: FromWhere = None) -> Response:
        """The button that says: I take this on."""
        return await pages.answered(partial(pages.done, clinician_id, alert_id, from_where, inbox.acknowledge))

    @router.post("/inbox/{clinician_id}/alerts/{alert_id}/resolution/{word}", status_code=303, responses=PRESSED)
    async def resolve(clinician_id: UUID, alert_id: UUID, word: Word, from_where: FromWhere = None) -> Response:
        """The buttons that say: I am done with this, and whether it was useful."""
        action = partial(inbox.resolve, useful=USEFUL[word])
        return await pages.answered(partial(pages.done, clinician_id, alert_id, from_where, action))

    @router.get("/inbox.css", include_in_schema=False)
    async def css() -> Response:
        return Response(style, media_type="text/css", headers={"Cache-Control": "public, max-age=300"})

    @router.get("/inbox.js", include_in_schema=False)
    async def js() -> Response:
        return Response(script, media_type="text/javascript", headers={"Cache-Control": "public, max-age=300"})

    return router


class _Pages:
    """Every page that clinicians see."""

    def __init__(self, inbox: Inbox, store: Store) -> None:
        self._inbox = inbox
        self._store = store
        self._templates = _templates()

    async def inbox_of(self, clinician_id: UUID) -> Response:
        """The clinician's alerts, times as on the clock where the clinician lives. Raises StoreUnavailable."""
        zone = _zone(await self._store.time_zone(clinician_id))
        view = await self._inbox.of(clinician_id)
        return self._page("inbox.html", 200, clinician_id=clinician_id, alerts=view.alerts, zone=zone)

    async def done(
        self, clinician_id: UUID, alert_id: UUID, from_where: str | None, does: Callable[[UUID], Awaitable[object]]
    ) -> Response:
        """Do it, and show the inbox; where it cannot be done any more, the inbox shows how things stand."""
        if from_where not in (None, "same-origin", "none"):
            return self._notice(403, "This came from elsewhere", "Please open your inbox and press the button there.")
        try:
            if (await self._inbox.alert(alert_id)).clinician_id == clinician_id:
                await does(alert_id)
        except Unknown:
            return self._notice(404, "This alert is not there", "It may be gone. Please open your inbox again.")
        except Refused as error:
            log.info("an inbox was out of date", alert_id=str(alert_id), kind=error.kind)
        return RedirectResponse(f"/inbox/{clinician_id}", 303, HEADERS)

    async def answered(self, page: Callable[[], Awaitable[Response]]) -> Response:
        """The page, or one that says to come back."""
        try:
            return await page()
        except Transient as error:
            log.warning("could not show an inbox", reason=str(error))
            text = "We cannot reach our records. Nothing is lost; please try again in a minute."
            return self._notice(503, "Just now this does not work", text)

    def _notice(self, status: int, title: str, text: str) -> Response:
        return self._page("notice.html", status, title=title, text=text)

    def _page(self, template: str, status: int, **values: Any) -> Response:
        return HTMLResponse(self._templates.get_template(template).render(values), status, HEADERS)


def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["wording"] = wording
    environment.filters["when"] = _when
    return environment


def _when(moment: datetime, zone: tzinfo) -> str:
    """As in a diary: `Tue 24 Nov 2026, 15:30`; in UTC where the calendar ends."""
    with suppress(OverflowError):
        moment = moment.astimezone(zone)
    return f"{moment:%a %-d %b %Y, %H:%M}"


def _zone(name: str | None) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
