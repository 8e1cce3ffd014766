"""Configures the receivers of Alertmanager and tests them, with the files and commands of docs/install.md."""

import json
from collections.abc import Sequence
from typing import Any

import yaml

from tests.system.containers.compose import ComposeProject
from tests.system.containers.docker import PROJECT_ROOT
from tests.system.support.checks import Checks
from tools.sandbox.network.receivers import ReceivedEmail, ReceivedWebhook
from tools.sandbox.servers.inspection import wait_until

NOTIFICATION_TIMEOUT_SECONDS = 150.0  # Prometheus sends firing alerts to Alertmanager once a minute
ALERTMANAGER_FOLDER = "./secrets/alertmanager"


async def check_alert_receivers(
    compose: ComposeProject,
    checks: Checks,
    received_emails: Sequence[ReceivedEmail],
    received_webhooks: Sequence[ReceivedWebhook],
    webhook_base_url: str,
) -> None:
    """Configure the receivers, send a trial alert, and check that each receiver is notified."""
    section = (PROJECT_ROOT / "docs/install.md").read_text(encoding="utf-8").partition("\n## Who is called\n")[2]
    copy_command, receivers_example, reload_command, trial_command = (
        block.partition("\n```")[0] for block in section.split("```")[1:8:2]
    )
    receivers = yaml.safe_load(receivers_example.removeprefix("yaml\n"))["receivers"]
    compose.run_shell(copy_command.removeprefix("sh\n"))
    _write_receivers(compose, receivers)
    compose.run_shell(reload_command.removeprefix("sh\n"), ALERTMANAGER_DIR=ALERTMANAGER_FOLDER)
    _write_receivers(
        compose,
        [_with_local_servers(receiver, compose.settings["SMTP_PORT"], webhook_base_url) for receiver in receivers],
    )
    compose.run_shell(reload_command.removeprefix("sh\n"), ALERTMANAGER_DIR=ALERTMANAGER_FOLDER)
    compose.run_shell(trial_command.removeprefix("sh\n"), ALERTMANAGER_DIR=ALERTMANAGER_FOLDER)

    async def are_all_notified() -> bool:
        webhook_alerts = {(webhook.path, alert) for webhook in received_webhooks for alert in _alert_names(webhook)}
        email_recipients = {
            recipient
            for email in received_emails
            for recipient in email.recipients
            if "Only a trial: ticket" in email.text
        }
        return (
            email_recipients == {"ops@clinic.example"}
            and {("/page", "Trial"), ("/heartbeat", "Watchdog")} <= webhook_alerts
        )

    checks.expect(
        "configured receivers are notified, and the watchdog arrives",
        await wait_until(are_all_notified, NOTIFICATION_TIMEOUT_SECONDS),
    )


def _write_receivers(compose: ComposeProject, receivers: Sequence[Any]) -> None:
    file = compose.folder / ALERTMANAGER_FOLDER / "alertmanager.yml"
    file.write_text(file.read_text().partition("\nreceivers:")[0] + "\n" + yaml.safe_dump({"receivers": receivers}))


def _with_local_servers(receiver: dict[str, Any], smtp_port: str, webhook_base_url: str) -> dict[str, Any]:
    """The same receiver, but with the servers of this test."""
    for email_config in receiver.get("email_configs", []):
        del email_config["auth_username"], email_config["auth_password_file"]
        email_config.update(smarthost=f"host.docker.internal:{smtp_port}", require_tls=False)
    for webhook_config in receiver.get("webhook_configs", []):
        webhook_config["url"] = f"{webhook_base_url}/{receiver['name']}"
    return receiver


def _alert_names(webhook: ReceivedWebhook) -> list[str]:
    return [alert["labels"]["alertname"] for alert in json.loads(webhook.body).get("alerts", [])]
