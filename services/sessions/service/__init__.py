"""The use cases of sessions: appointments, outcomes and feedback."""

from services.sessions.service.forms import FormLink, OpenForm, Reader
from services.sessions.service.sessions import SessionsService

__all__ = ["FormLink", "OpenForm", "Reader", "SessionsService"]
