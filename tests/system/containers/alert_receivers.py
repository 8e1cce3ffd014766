"""The receivers of Alertmanager, filled in and tried as docs/install.md says, with its own files and commands."""

import json
from collections.abc import Sequence
from typing import Any

import yaml

from tests.system.containers.compose import Compose
from tests.system.containers.docker import HOME
from tests.system.support.checks import Checks
from tools.sandbox.network.receivers import Hook, Mail
from tools.sandbox.servers.inspection import until

WITHIN = 150.0  # seconds; Prometheus tells what fires once a minute
OURS = "./secrets/alertmanager"


async def called(
    compose: Compose, checks: Checks, mails: Sequence[Mail], hooks: Sequence[Hook], webhook_base_url: str
) -> None:
    """Fill them in, call everybody, and see that each was told of its own."""
    section = (HOME / "docs/install.md").read_text(encoding="utf-8").partition("\n## Who is called\n")[2]
    copy_command, receivers_example, reload_command, trial_command = (
        block.partition("\n```")[0] for block in section.split("```")[1:8:2]
    )
    receivers = yaml.safe_load(receivers_example.removeprefix("yaml\n"))["receivers"]
    compose.typed(copy_command.removeprefix("sh\n"))
    _write(compose, receivers)
    compose.typed(reload_command.removeprefix("sh\n"), ALERTMANAGER_DIR=OURS)
    _write(compose, [_here(receiver, compose.settings["SMTP_PORT"], webhook_base_url) for receiver in receivers])
    compose.typed(reload_command.removeprefix("sh\n"), ALERTMANAGER_DIR=OURS)
    compose.typed(trial_command.removeprefix("sh\n"), ALERTMANAGER_DIR=OURS)

    async def told() -> bool:
        webhook_alerts = {(webhook.path, alert) for webhook in hooks for alert in _alerts(webhook)}
        email_recipients = {
            recipient for email in mails for recipient in email.to if "Only a trial: look" in email.text
        }
        return (
            email_recipients == {"ops@clinic.example"}
            and {("/call", "Trial"), ("/heartbeat", "Watchdog")} <= webhook_alerts
        )

    checks.holds("receivers that were filled in are called, and the watchdog beats", await until(told, WITHIN))


def _write(compose: Compose, receivers: Sequence[Any]) -> None:
    file = compose.folder / OURS / "alertmanager.yml"
    file.write_text(file.read_text().partition("\nreceivers:")[0] + "\n" + yaml.safe_dump({"receivers": receivers}))


def _here(receiver: dict[str, Any], smtp_port: str, webhook_base_url: str) -> dict[str, Any]:
    """The same one, with the servers of this test in place of theirs."""
    for email_config in receiver.get("email_configs", []):
        del email_config["auth_username"], email_config["auth_password_file"]
        email_config.update(smarthost=f"host.docker.internal:{smtp_port}", require_tls=False)
    for webhook_config in receiver.get("webhook_configs", []):
        webhook_config["url"] = f"{webhook_base_url}/{receiver['name']}"
    return receiver


def _alerts(webhook: Hook) -> list[str]:
    return [alert["labels"]["alertname"] for alert in json.loads(webhook.body).get("alerts", [])]
