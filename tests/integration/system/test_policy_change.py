"""A change of the policy, with a rebuild, as clinicians notice it: alliance and notify on one Kafka."""

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from services.alliance.app import create_app as create_alliance
from services.alliance.domain.policy.policy import Policy
from services.alliance.settings import Settings as AllianceSettings
from services.notify.app import create_app as create_notify
from services.notify.settings import Settings as NotifySettings
from shared.events import Event
from shared.mongo.client import Mongo
from tests.support.builders import RelationshipBuilder
from tests.support.harness import started_producer
from tests.support.receivers import Mailbox
from tests.support.service_process import ServiceRunner
from tests.support.serving import run_app, wait_until
from tools.sandbox.servers.ports import free_ports

pytestmark = pytest.mark.integration

STRICT, SENSITIVE = Policy(watch=0.9, concern=0.9, urgent=0.95), Policy(watch=0.06, concern=0.08)
NEXT_WEEK = 7
EMAIL = "someone@clinic.example"


class Clinic:
    """The two services of one clinic, and its relationship that got worse a week ago."""

    def __init__(self, servers: str, mongodb_uri: str, policy_dir: Path, smtp_port: int) -> None:
        first_session_at = datetime.now(UTC).replace(microsecond=0) - timedelta(weeks=NEXT_WEEK, days=1)
        self.builder = RelationshipBuilder(first_session_at=first_session_at)
        self._policy_dir = policy_dir
        self._alliance = AllianceSettings(
            kafka_bootstrap_servers=servers,
            mongodb_uri=mongodb_uri,
            mongodb_database=f"test_{uuid4().hex}",
            policy_dir=policy_dir,
            log_level="error",
        )
        self._notify = NotifySettings(
            kafka_bootstrap_servers=servers,
            mongodb_uri=mongodb_uri,
            mongodb_database=f"test_{uuid4().hex}",
            smtp_port=smtp_port,
            smtp_tls="none",
            notify_within_days=30,  # so that a message about the sign of last week would be sent
        )
        self.alliance = ServiceRunner("alliance", servers, mongodb_uri, self._alliance.mongodb_database)
        self.notify = ServiceRunner("notify", servers, mongodb_uri, self._notify.mongodb_database)

    def serve_alliance(self, policy: Policy) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
        self.set_policy(policy)
        return run_app(create_alliance(self._alliance))

    def serve_notify(self) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
        return run_app(create_notify(self._notify))

    def set_policy(self, policy: Policy) -> None:
        keys = ("base_rate", "watch", "concern", "urgent")
        lines = "".join(f"{key} = {getattr(policy, key)}\n" for key in keys)
        (self._policy_dir / f"{self.builder.started().clinic_id}.toml").write_text(lines)

    async def rebuild(self) -> None:
        result = await self.alliance.run_command("rebuild", POLICY_DIR=str(self._policy_dir))
        assert result.exit_code == 0, result
        assert result.count_of("relationships corrected") == 1

    def history(self) -> list[Event]:
        ratings = (9, 8, 9, 8, 9, 8, 6)
        b = self.builder
        rated = [event for week, r in enumerate(ratings) for event in (b.completed(week), b.feedback(week, r))]
        return [b.started(), b.consent_changed(-0.5, given=True), *rated]

    async def count_deliveries(self) -> int:
        """How many messages were planned, whatever became of them."""
        mongo = Mongo(self._notify.mongodb_uri, self._notify.mongodb_database)
        try:
            return await mongo["deliveries"].count_documents({})
        finally:
            await mongo.close()

    async def inbox(self, client: httpx2.AsyncClient) -> list[dict[str, Any]]:
        response = await client.get(f"/clinicians/{self.builder.started().clinician_id}/inbox")
        alerts: list[dict[str, Any]] = response.json()["alerts"] if response.status_code == 200 else []
        return alerts


async def test_a_rebuild_messages_nobody_and_the_next_low_answer_is_messaged(
    empty_kafka: str, mongodb_uri: str, tmp_path: Path
) -> None:
    (smtp_port,) = free_ports(1)
    clinic, mailbox = Clinic(empty_kafka, mongodb_uri, tmp_path, smtp_port), Mailbox()

    async def all_handled() -> None:
        await clinic.alliance.wait_until_caught_up()
        await clinic.notify.wait_until_caught_up()

    with mailbox.run(smtp_port):
        async with clinic.serve_notify() as notify, started_producer(empty_kafka) as producer:
            channels = {"email": EMAIL, "webhook": None}
            await notify.put(f"/clinicians/{clinic.builder.started().clinician_id}/channels", json=channels)
            async with clinic.serve_alliance(STRICT):
                await producer.publish(clinic.history())
                await all_handled()
                assert await clinic.inbox(notify) == []

                clinic.set_policy(SENSITIVE)
                await clinic.rebuild()
                await all_handled()
                verified = await clinic.alliance.run_command("verify", POLICY_DIR=str(tmp_path))
                assert (verified.exit_code, verified.differences) == (0, {}), verified
            assert await clinic.count_deliveries() == 0
            (alert,) = await clinic.inbox(notify)
            assert (alert["severity"], alert["status"], alert["began_before"]) == ("concern", "open", True)

            async with clinic.serve_alliance(SENSITIVE):
                await producer.publish([clinic.builder.completed(NEXT_WEEK)])
                await all_handled()
                assert await clinic.count_deliveries() == 0
                await producer.publish([clinic.builder.feedback(NEXT_WEEK, 5)])
                await wait_until(lambda: _has_received(mailbox))
                await all_handled()

            (alert,) = await clinic.inbox(notify)
            assert (alert["status"], alert["began_before"]) == ("open", True)
    assert len(mailbox.received) == 1


async def _has_received(mailbox: Mailbox) -> bool:
    return bool(mailbox.received)
