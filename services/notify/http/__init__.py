"""The HTTP interface: JSON for clinic systems, an HTML page for clinicians."""

from fastapi import APIRouter

from services.notify.channels.destinations import Destinations
from services.notify.http import api, pages
from services.notify.http.inbox_streams import InboxStreams
from services.notify.http.inbox_updates import InboxUpdates
from services.notify.service import InboxService


def routes(inbox: InboxService, destinations: Destinations, updates: InboxUpdates) -> APIRouter:
    """Every route of the service."""
    router = APIRouter()
    streams = InboxStreams(inbox, updates)
    router.include_router(api.routes(inbox, destinations, streams))
    router.include_router(pages.routes(inbox))
    return router
