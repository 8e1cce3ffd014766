"""The event stream of an inbox: its page as it is now, again after each change, and pings in between.

All streams of one inbox share each read and its rendering: what a change costs hardly depends on how many are open.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import structlog
from fastapi.sse import ServerSentEvent

from services.notify.http.inbox_updates import InboxUpdates, Listener
from services.notify.http.shared_reads import SharedReads
from services.notify.service import InboxService, InboxView
from shared.access.clinic_id import ClinicId
from shared.errors import Transient
from shared.runtime.model import Model

log = structlog.get_logger()

InboxPage = tuple[ClinicId | None, UUID, int]
"""A clinic, a clinician and the number of a page."""


class Ping(Model):
    """What an event named `ping` holds: until then, the inbox is as it was sent last."""

    at: datetime


@dataclass(frozen=True)
class RenderedInbox:
    """A page of an inbox, as it is sent to all its streams. FastAPI sends a ServerSentEvent as it is."""

    view: InboxView

    @cached_property
    def event(self) -> Any:
        return ServerSentEvent(raw_data=self.view.model_dump_json())

    @cached_property
    def visible_fields(self) -> str:
        """What a clinician sees of it."""
        return self.view.model_dump_json(exclude={"alerts": {"__all__": {"version"}}})

    @cached_property
    def alert_ids(self) -> frozenset[UUID] | None:
        """All alerts of the inbox; None if it has others besides those on this page."""
        ids = frozenset(alert.alert_id for alert in self.view.alerts)
        return ids if len(ids) == self.view.total else None


class InboxStreams:
    """Opens the streams of every inbox."""

    def __init__(self, inbox: InboxService, updates: InboxUpdates) -> None:
        async def read(page: InboxPage) -> RenderedInbox:
            return RenderedInbox(await inbox.get_inbox(*page))

        self._updates = updates
        self._shared_reads = SharedReads(read)

    async def get(self, clinic: ClinicId | None, clinician_id: UUID, page: int = 1) -> InboxView:
        """One page of the clinician's alerts. Raises NotFound and StoreUnavailable."""
        return (await self._shared_reads.get((clinic, clinician_id, page))).view

    @asynccontextmanager
    async def open(self, clinic: ClinicId | None, clinician_id: UUID, page: int) -> AsyncIterator[AsyncIterator[Any]]:
        """The events of a stream, until the block ends or the store is unavailable.

        Raises NotFound, StoreUnavailable and, beyond the limits, Problem: later, a status can no longer be sent.
        """
        with self._updates.listen(clinician_id) as listener:
            first = await self._shared_reads.get((clinic, clinician_id, page))
            yield self._follow((clinic, clinician_id, page), listener, first)

    async def _follow(self, page: InboxPage, listener: Listener, first: RenderedInbox) -> AsyncIterator[Any]:
        current, sent = first, None
        while True:
            if sent is None or current.visible_fields != sent.visible_fields:
                yield current.event
            sent = current
            listener.alert_ids = current.alert_ids
            async for at in self._updates.pings_until(listener.changed):
                yield ServerSentEvent(event="ping", data=Ping(at=at))
            listener.changed.clear()
            listener.alert_ids = None
            try:
                current = await self._shared_reads.get(page)
            except Transient as error:
                log.warning("inbox stream closed: store unavailable, the browser reconnects", reason=str(error))
                return
