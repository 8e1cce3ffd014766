"""What we answer: clinic systems with JSON, people with pages."""

from fastapi import APIRouter

from services.sessions.http import api as for_clinic_systems
from services.sessions.http import pages as for_people
from services.sessions.service import SessionsService


def routes(service: SessionsService, public_url: str, crisis_text: str) -> APIRouter:
    """Every route of the service."""
    router = APIRouter()
    router.include_router(for_clinic_systems.routes(service, public_url))
    router.include_router(for_people.routes(service, crisis_text))
    return router
