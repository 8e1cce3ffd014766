"""What other systems may ask and tell us. Every request is safe to send again."""

import base64
import binascii
from collections.abc import AsyncIterable
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import APIRouter
from fastapi.sse import EventSourceResponse
from pydantic import AfterValidator, BaseModel, Field, HttpUrl, SecretStr

from services.notify.delivery import Deliver
from services.notify.domain.routing import Channels, Webhook
from services.notify.http.inbox_updates import Live
from services.notify.service import Inbox, InboxAlert, InboxView
from services.notify.settings import ADDRESS
from shared.errors import Transient
from shared.http.request_body import Body

log = structlog.get_logger()


def _signs_well(secret: SecretStr) -> SecretStr:
    try:
        key = base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64, with or without `whsec_` before it") from None
    if not 24 <= len(key) <= 64:
        raise ValueError("has to be 24 to 64 random bytes, in base64")
    return secret


Address = Annotated[str, Field(max_length=254, pattern=ADDRESS)]
"""An e-mail address; plain characters only, so that nothing else can be slipped into a header."""


class WebhookBody(Body):
    url: HttpUrl
    """Whoever may set it decides where we send to, inside the clinic's network too."""
    secret: Annotated[SecretStr, AfterValidator(_signs_well)]
    """Shared with the receiver, who checks the signature with it (standardwebhooks.com). It is never shown again."""


class ChannelsBody(Body):
    """Both are set at once; null or absent means not to use it."""

    email: Address | None = None
    webhook: WebhookBody | None = None

    def channels(self) -> Channels:
        if self.webhook is None:
            return Channels(email=self.email)
        secret = self.webhook.secret.get_secret_value()
        return Channels(email=self.email, webhook=Webhook(url=str(self.webhook.url), secret=secret))


class WebhookView(BaseModel):
    url: str


class ChannelsView(BaseModel):
    """Where the clinician is reached from now on."""

    clinician_id: UUID
    email: str | None
    webhook: WebhookView | None


class Nothing(Body):
    """`{}`: that it happened says it all."""


class Resolution(Body):
    useful: bool | None = None
    """Whether the alert was worth the interruption."""


def routes(inbox: Inbox, deliver: Deliver, live: Live) -> APIRouter:
    """The JSON API, and the stream that the page listens to."""
    router = APIRouter(tags=["alerts"])

    @router.put("/clinicians/{clinician_id}/channels")
    async def channels(clinician_id: UUID, body: ChannelsBody) -> ChannelsView:
        """Where the clinician is told of alerts when away. What still needs telling is told there at once."""
        await deliver.reach(clinician_id, body.channels())
        webhook = WebhookView(url=str(body.webhook.url)) if body.webhook else None
        return ChannelsView(clinician_id=clinician_id, email=body.email, webhook=webhook)

    @router.get("/clinicians/{clinician_id}/inbox")
    async def read(clinician_id: UUID) -> InboxView:
        """The clinician's alerts: open first, most severe first."""
        return await inbox.of(clinician_id)

    @router.get("/clinicians/{clinician_id}/inbox/stream", response_class=EventSourceResponse)
    async def stream(clinician_id: UUID) -> AsyncIterable[InboxView]:
        """The inbox as it is now, and again whenever it changes (server-sent events)."""
        with live.reading(clinician_id) as changed:
            sent: InboxView | None = None
            while True:
                changed.clear()
                try:
                    current = await inbox.of(clinician_id)
                except Transient as error:
                    log.warning("an inbox stream ends; its reader comes again", reason=str(error))
                    return
                if not current.same_as(sent):
                    yield current
                    sent = current
                await changed.wait()

    @router.get("/alerts/{alert_id}")
    async def alert(alert_id: UUID) -> InboxAlert:
        """One alert."""
        return await inbox.alert(alert_id)

    @router.post("/alerts/{alert_id}/acknowledgement")
    async def acknowledge(alert_id: UUID, _: Nothing) -> InboxAlert:
        """The clinician has seen it and takes it on; of an alert that is not open any more, nothing changes."""
        return await inbox.acknowledge(alert_id)

    @router.post("/alerts/{alert_id}/resolution")
    async def resolve(alert_id: UUID, body: Resolution) -> InboxAlert:
        """The clinician is done with it, and may say whether it was worth the interruption."""
        return await inbox.resolve(alert_id, body.useful)

    return router
