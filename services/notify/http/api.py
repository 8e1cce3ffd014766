"""The JSON API for clinic systems, and the event stream for the inbox page. Every request is idempotent."""

import base64
import binascii
from collections.abc import AsyncIterable, AsyncIterator
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi.exceptions import RequestValidationError
from fastapi.sse import EventSourceResponse
from pydantic import AfterValidator, Field, HttpUrl, SecretStr, StrictBool

from services.notify.channels.destinations import DestinationRefused, Destinations
from services.notify.domain.alert import Shown
from services.notify.domain.disposition_requests import DispositionRequest
from services.notify.domain.routing import ChannelAddresses, WebhookAddress
from services.notify.http.inbox_streams import InboxStreams, Ping
from services.notify.service import InboxAlert, InboxService, InboxView
from services.notify.settings import EMAIL_ADDRESS_PATTERN
from shared.events import DispositionKind
from shared.http.query_parameters import PageNumber
from shared.http.request_body import RequestBody
from shared.runtime.model import Model

_BASE64_KEY_PATTERN = (
    "^(whsec_)?([A-Za-z0-9+/]{4}){8,20}([A-Za-z0-9+/]{4}([A-Za-z0-9+/]{2}==)?|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?$"
)
"""24 to 64 bytes in base64, as JSON Schema."""


def _validate_secret(secret: SecretStr) -> SecretStr:
    try:
        key = base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be base64, with or without the prefix `whsec_`") from None
    if not 24 <= len(key) <= 64:
        raise ValueError("must be 24 to 64 random bytes, in base64")
    return secret


EmailAddress = Annotated[str, Field(max_length=254, pattern=EMAIL_ADDRESS_PATTERN)]
"""An e-mail address of plain characters only, so that it cannot inject a header."""


class WebhookBody(RequestBody):
    url: Annotated[HttpUrl, Field(json_schema_extra={"format": "iri"})]
    """Requests are sent to this URL. It begins with https and leads to a public address, unless the operator allows
    this receiver otherwise."""
    secret: Annotated[
        SecretStr, AfterValidator(_validate_secret), Field(json_schema_extra={"pattern": _BASE64_KEY_PATTERN})
    ]
    """Shared with the receiver, which verifies the signature with it (standardwebhooks.com). It is never returned."""


class ChannelsBody(RequestBody):
    """Sets both channels at once; null or absent means that the channel is not used."""

    email: EmailAddress | None = None
    webhook: WebhookBody | None = None

    def addresses(self) -> ChannelAddresses:
        if self.webhook is None:
            return ChannelAddresses(email=self.email)
        secret = self.webhook.secret.get_secret_value()
        return ChannelAddresses(email=self.email, webhook=WebhookAddress(url=str(self.webhook.url), secret=secret))


class WebhookView(Model):
    url: str


class ChannelsView(Model):
    """The clinician's channels from now on."""

    clinician_id: UUID
    email: str | None
    webhook: WebhookView | None

    @classmethod
    def of(cls, clinician_id: UUID, addresses: ChannelAddresses) -> Self:
        webhook = WebhookView(url=addresses.webhook.url) if addresses.webhook else None
        return cls(clinician_id=clinician_id, email=addresses.email, webhook=webhook)


class DispositionBody(RequestBody):
    """Every request about an alert carries what its clinician was shown, and counts once."""

    id: UUID
    """Chosen by the sender, and the same each time that the request is sent."""
    shown: Shown
    """As it was in the alert; if the alert has changed since, the request is rejected with 409."""


class Resolution(DispositionBody):
    useful: StrictBool | None = None
    """Whether the alert was worth the interruption."""
    disposition: DispositionKind | None = None
    """What the clinician did: talked about it with the client, changed something in the work, found that it was not a
    rupture, or took no action. However it is answered, what the client says afterwards counts in full."""


class Reopening(DispositionBody):
    disposition_id: UUID
    """The disposition to take back, as it was in the alert."""


def routes(inbox: InboxService, destinations: Destinations, streams: InboxStreams) -> APIRouter:
    """The routes of the JSON API and of the event stream."""
    router = APIRouter(tags=["alerts"])

    @router.put("/clinicians/{clinician_id}/channels")
    async def update_channels(clinician_id: UUID, body: ChannelsBody) -> ChannelsView:
        """Set the channels that alerts are sent through. Alerts that still need a message are sent at once."""
        await _require_allowed(body.webhook, destinations)
        await inbox.update_channels(None, clinician_id, body.addresses())
        return ChannelsView.of(clinician_id, body.addresses())

    _add_inbox_routes(router, streams)
    _add_alert_routes(router, inbox)
    return router


def _add_inbox_routes(router: APIRouter, streams: InboxStreams) -> None:
    @router.get("/clinicians/{clinician_id}/inbox")
    async def get_inbox(clinician_id: UUID, page: PageNumber = 1) -> InboxView:
        """The clinician's alerts: open first, most severe first, 200 on a page."""
        return await streams.get(None, clinician_id, page)

    async def open_stream(clinician_id: UUID, page: PageNumber = 1) -> AsyncIterator[AsyncIterator[Any]]:
        """Refuses a stream before it begins: later, its status can no longer be sent."""
        async with streams.open(None, clinician_id, page) as events:
            yield events

    @router.get("/clinicians/{clinician_id}/inbox/stream", response_class=EventSourceResponse)
    async def stream_inbox(
        events: Annotated[AsyncIterator[Any], Depends(open_stream)],
    ) -> AsyncIterable[InboxView | Ping]:
        """A page of the inbox as it is now, and again whenever it changes (server-sent events).

        An event `ping` follows every 15 seconds while changes are followed: if it stops, what was sent may be old.
        Beyond a number of open streams, of one inbox or of all, the answer is 503 with `Retry-After`.
        """
        async for event in events:
            yield event


def _add_alert_routes(router: APIRouter, inbox: InboxService) -> None:
    @router.get("/alerts/{alert_id}")
    async def get_alert(alert_id: UUID) -> InboxAlert:
        """One alert."""
        return await inbox.get_alert(None, alert_id)

    @router.post("/alerts/{alert_id}/acknowledgement")
    async def acknowledge(alert_id: UUID, body: DispositionBody) -> InboxAlert:
        """The clinician has seen it and takes it on. An alert that was shown as no longer open stays as it is."""
        return await inbox.dispose(None, alert_id, DispositionRequest(body.id, "acknowledged", body.shown))

    @router.post("/alerts/{alert_id}/resolution")
    async def resolve(alert_id: UUID, body: Resolution) -> InboxAlert:
        """The clinician is done with it, and may state what came of it. This ends the episode, if that is open."""
        request = DispositionRequest(body.id, "resolved", body.shown, useful=body.useful, disposition=body.disposition)
        return await inbox.dispose(None, alert_id, request)

    @router.post("/alerts/{alert_id}/reopening")
    async def reopen(alert_id: UUID, body: Reopening) -> InboxAlert:
        """The clinician takes the disposition back that decides the status. The one before it decides again."""
        request = DispositionRequest(body.id, "reopened", body.shown, disposition_id=body.disposition_id)
        return await inbox.dispose(None, alert_id, request)


async def _require_allowed(webhook: WebhookBody | None, destinations: Destinations) -> None:
    if webhook is None:
        return
    try:
        await destinations.check(str(webhook.url))
    except DestinationRefused as error:
        raise RequestValidationError([{"type": "url", "loc": ("body", "webhook", "url"), "msg": str(error)}]) from None
