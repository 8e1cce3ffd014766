"""Rebuilding and verifying what sessions derives from the topics: its projections of relationships, clinics and staff.

Sessions, feedback and links are the source of their events and stay as they are, except that the sessions of an erased
client are deleted. Nothing is published. docs/adr/0010-rebuild.md explains how.
"""

from services.sessions.rebuild.view import VIEW_SOURCE, create_view

__all__ = ["VIEW_SOURCE", "create_view"]
