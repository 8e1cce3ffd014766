"""The HTTP routes: JSON for clinic systems, pages for clients and clinicians."""

from fastapi import APIRouter

from services.sessions.http import api, pages
from services.sessions.service import SessionsService


def routes(service: SessionsService, public_url: str, crisis_text: str) -> APIRouter:
    """Every route of the service."""
    router = APIRouter()
    router.include_router(api.routes(service, public_url))
    router.include_router(pages.routes(service, crisis_text))
    return router
