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


async def called(compose: Compose, checks: Checks, mails: Sequence[Mail], hooks: Sequence[Hook], webhooks: str) -> None:
    """Fill them in, call everybody, and see that each was told of its own."""
    section = (HOME / "docs/install.md").read_text(encoding="utf-8").partition("\n## Who is called\n")[2]
    copied, as_told, filled_in, tried = (block.partition("\n```")[0] for block in section.split("```")[1:8:2])
    receivers = yaml.safe_load(as_told.removeprefix("yaml\n"))["receivers"]
    compose.typed(copied.removeprefix("sh\n"))
    _write(compose, receivers)
    compose.typed(filled_in.removeprefix("sh\n"), ALERTMANAGER_DIR=OURS)
    _write(compose, [_here(receiver, compose.settings["SMTP_PORT"], webhooks) for receiver in receivers])
    compose.typed(filled_in.removeprefix("sh\n"), ALERTMANAGER_DIR=OURS)
    compose.typed(tried.removeprefix("sh\n"), ALERTMANAGER_DIR=OURS)

    async def told() -> bool:
        by_webhook = {(hook.path, alert) for hook in hooks for alert in _alerts(hook)}
        by_mail = {to for mail in mails for to in mail.to if "Only a trial: look" in mail.text}
        return by_mail == {"ops@clinic.example"} and {("/call", "Trial"), ("/heartbeat", "Watchdog")} <= by_webhook

    checks.holds("receivers that were filled in are called, and the watchdog beats", await until(told, WITHIN))


def _write(compose: Compose, receivers: Sequence[Any]) -> None:
    file = compose.folder / OURS / "alertmanager.yml"
    file.write_text(file.read_text().partition("\nreceivers:")[0] + "\n" + yaml.safe_dump({"receivers": receivers}))


def _here(receiver: dict[str, Any], mail_port: str, webhooks: str) -> dict[str, Any]:
    """The same one, with the servers of this test in place of theirs."""
    for mail in receiver.get("email_configs", []):
        del mail["auth_username"], mail["auth_password_file"]
        mail.update(smarthost=f"host.docker.internal:{mail_port}", require_tls=False)
    for hook in receiver.get("webhook_configs", []):
        hook["url"] = f"{webhooks}/{receiver['name']}"
    return receiver


def _alerts(hook: Hook) -> list[str]:
    return [alert["labels"]["alertname"] for alert in json.loads(hook.body).get("alerts", [])]
