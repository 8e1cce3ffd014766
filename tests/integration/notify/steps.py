"""Steps of the tests from outside: set channels, publish a rupture, and read the inbox."""

from collections.abc import Sequence
from typing import Any, cast
from uuid import uuid4

import httpx2

from shared.events import Event
from tests.support.receivers import WebhookReceiver
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import ServiceClient

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwDpzxh1uTbZk="


def suspected_events(s: RuptureBuilder) -> Sequence[Event]:
    return [s.started(), s.scheduled(2), s.suspected(3), s.updated(3, 0)]


async def set_channels(client: httpx2.AsyncClient, s: RuptureBuilder, hook: WebhookReceiver | None = None) -> str:
    """Set the clinician's channels, and return the e-mail address."""
    email = f"{s.clinician_id}@clinic.example"
    webhook = {"url": hook.url, "secret": SECRET} if hook else None
    response = await client.put(f"/clinicians/{s.clinician_id}/channels", json={"email": email, "webhook": webhook})
    assert response.status_code == 200
    assert SECRET not in response.text
    return email


async def get_inbox(client: httpx2.AsyncClient, s: RuptureBuilder) -> list[dict[str, Any]]:
    response = await client.get(f"/clinicians/{s.clinician_id}/inbox")
    assert response.status_code == 200
    return cast("list[dict[str, Any]]", response.json()["alerts"])


async def dispose(client: httpx2.AsyncClient, s: RuptureBuilder, action: str, **fields: object) -> httpx2.Response:
    """Acknowledge, resolve or reopen the alert as it is now."""
    shown = (await client.get(f"/alerts/{s.alert_id()}")).json()["shown"]
    body = {"id": str(uuid4()), "shown": shown, **fields}
    response = await client.post(f"/alerts/{s.alert_id()}/{action}", json=body)
    assert response.status_code == 200, response.text
    return response


async def has_inbox(client: httpx2.AsyncClient, s: RuptureBuilder) -> bool:
    return (await client.get(f"/clinicians/{s.clinician_id}/inbox")).status_code == 200


async def shows_alert(client: httpx2.AsyncClient, s: RuptureBuilder, **expected: object) -> bool:
    alerts = await get_inbox(client, s) if await has_inbox(client, s) else []
    return bool(alerts) and all(alerts[0][name] == value for name, value in expected.items())


async def has_counted(client: ServiceClient, channel: str, outcome: str) -> bool:
    series = f'attune_notify_deliveries_total{{channel="{channel}",outcome="{outcome}"}}'
    metrics_text = (await client.get_ops("/metrics")).text
    return f"{series} " in metrics_text and f"{series} 0.0" not in metrics_text
