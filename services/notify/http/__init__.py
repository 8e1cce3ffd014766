"""What we answer: clinic systems with JSON, clinicians with a page."""

from fastapi import APIRouter

from services.notify.delivery import Deliver
from services.notify.http import api, pages
from services.notify.http.inbox_updates import Live
from services.notify.service import Inbox
from services.notify.store import Store


def routes(inbox: Inbox, deliver: Deliver, live: Live, store: Store) -> APIRouter:
    """Every route of the service."""
    router = APIRouter()
    router.include_router(api.routes(inbox, deliver, live))
    router.include_router(pages.routes(inbox, store))
    return router
