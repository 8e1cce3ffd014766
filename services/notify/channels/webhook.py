"""Sends notifications to a clinic's own system by webhook, signed as standardwebhooks.com specifies.

Where a request may lead is checked when connecting (`destinations.py`). Redirects are not followed, no proxy of the
environment is used, and response bodies are not read.
"""

import asyncio
import re
from datetime import UTC, datetime, timedelta

from httpx2 import AsyncClient, HTTPError, InvalidURL, Response
from pydantic_core import to_json
from standardwebhooks import Webhook as Signature

from services.notify.channels import AddressRejected, DeliveryFailed, Notification
from services.notify.channels.destinations import CheckedTransport, DestinationRefused, Destinations
from services.notify.domain.routing import ChannelAddresses

GONE = 410
"""The only status that says that a message to this URL will never be accepted again (standardwebhooks.com). Any other
one, also 404 or a redirect, can be a passing state, for example while the receiver is rolled out."""
NOT_NOW = frozenset({429, 503})
"""The statuses that say that the receiver is overloaded or unavailable, and with `Retry-After` for how long."""
PART_TIMEOUT_SECONDS = 10.0
"""Limit for connecting to one address, and for each part of the response."""
REQUEST_TIMEOUT_SECONDS = 30.0
"""Limit for one attempt, however slowly the receiver responds."""


def create_webhook_client(destinations: Destinations) -> AsyncClient:
    """A client that connects only to where `destinations` allow."""
    return AsyncClient(
        transport=CheckedTransport(destinations),
        timeout=PART_TIMEOUT_SECONDS,
        follow_redirects=False,
        trust_env=False,  # a proxy would connect to what it resolves itself
    )


class WebhookChannel:
    """Sends each message as a POST request; `client` is one of `create_webhook_client`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def send(self, notification: Notification, addresses: ChannelAddresses) -> None:
        """Return when the receiver responded with success. Raises DeliveryFailed and AddressRejected."""
        if addresses.webhook is None:
            raise AddressRejected("no webhook address")
        response = await self._post(addresses.webhook.url, *self._sign(notification, addresses.webhook.secret))
        status = response.status_code
        if status == GONE:
            raise AddressRejected(f"HTTP {status}")
        if status in NOT_NOW:
            wait = parse_retry_after(response.headers.get("Retry-After", ""), notification.sent_at)
            raise DeliveryFailed(f"HTTP {status}", wait)
        if not response.is_success:
            raise DeliveryFailed(f"HTTP {status}")

    async def _post(self, url: str, body: str, headers: dict[str, str]) -> Response:
        try:
            async with (
                asyncio.timeout(REQUEST_TIMEOUT_SECONDS),
                self._client.stream("POST", url, content=body, headers=headers) as response,
            ):
                return response
        except DestinationRefused as error:  # the operator can allow it, and then the message must still be sent
            raise DeliveryFailed(f"the URL {error}") from None
        except (HTTPError, InvalidURL, TimeoutError) as error:
            raise DeliveryFailed(type(error).__name__) from None

    def _sign(self, notification: Notification, secret: str) -> tuple[str, dict[str, str]]:
        body = to_json(
            {
                "type": f"alert.{notification.change}",
                "alert_id": notification.alert_id,
                "severity": notification.severity,
                "end_reason": notification.end_reason,
                "url": notification.url,
            }
        ).decode()
        webhook_id = str(notification.delivery_id)
        return body, {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(notification.sent_at.timestamp())),
            "webhook-signature": Signature(secret).sign(webhook_id, notification.sent_at, body),
        }


def parse_retry_after(text: str, now: datetime) -> timedelta:
    """The wait that the header `Retry-After` asks for, in seconds or until a date; none if it cannot be read."""
    if re.fullmatch("[0-9]{1,9}", text):
        return timedelta(seconds=int(text))
    try:
        until = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return timedelta(0)
    return max(timedelta(0), until - now)
