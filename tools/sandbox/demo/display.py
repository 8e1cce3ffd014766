"""The output of the demo: a live table on a terminal, and one line at a time elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tools.sandbox.demo.figures import Figures
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.servers.process import LocalServer
from tools.sandbox.servers.stack import RunningStack

SERVER_SETTINGS = {"Kafka": "KAFKA_BOOTSTRAP_SERVERS", "MongoDB": "MONGODB_URI"}
STATUSES = ("open", "acknowledged", "resolved", "repaired", "retracted", "ended")


def build_rows(
    network: str,
    ledger: Ledger,
    figures: Figures,
    received_emails: Sequence[object],
    received_webhooks: Sequence[object],
    failed_servers: Sequence[LocalServer],
) -> dict[str, str]:
    """The rows of the table: names and values."""
    severities = ", ".join(
        f"{figures.open_episodes[severity]} {severity}" for severity in ("urgent", "concern", "watch")
    )
    display_rows = {
        "network": network,
        "relationships": f"{figures.relationships}",
        "sent since start": f"{ledger.session_count} sessions, {ledger.answer_count} answers",
        "scores": f"{figures.scored_relationships}",
        "open episodes": (
            f"{figures.open_episodes.total()} ({severities}), {figures.repaired_relationships} repaired before"
        ),
        "alerts": ", ".join(f"{figures.alerts_by_status[status]} {status}" for status in STATUSES),
        "delivered": f"{len(received_emails)} e-mails, {len(received_webhooks)} webhooks",
        "alliance": f"{figures.events_per_second:.0f} events/s, {figures.consumed_events:.0f} since the start",
        "lag": ", ".join(f"{service} {lag}" for service, lag in figures.lag.items()),
    }
    if ledger.failed_requests:
        display_rows["failed requests"] = f"{len(ledger.failed_requests)}, the last: {ledger.failed_requests[-1][:200]}"
    if failed_servers:
        display_rows["FAILED"] = ", ".join(f"{server.name} exited; log: {server.log_file}" for server in failed_servers)
    return display_rows


@dataclass(frozen=True)
class PageAddresses:
    """Where people open the pages of all services."""

    url: str
    lan_url: str | None = None
    """Where other machines find clients' forms; None if they find nothing."""


def build_addresses(attune: RunningStack, pages: PageAddresses, figures: Figures, data: Path) -> dict[str, str]:
    """The addresses that a person can open, and the settings that lead a command to the servers of the demo."""
    links = {}
    if attune.front_door:
        links["start page"] = f"{pages.url}/"
    if figures.open_form_url:
        links["a form"] = figures.open_form_url
        if pages.lan_url:
            links["phone"] = urljoin(pages.lan_url, urlsplit(figures.open_form_url).path)
    if figures.busiest_clinician:
        links["an inbox"] = f"{pages.url}/inbox/{figures.busiest_clinician}"
    for service, url in attune.ops_urls.items():
        links[service] = f"{url}/docs   {url}/metrics"
    for server in attune.servers:
        if setting := SERVER_SETTINGS.get(server.name):
            links[server.name] = f"export {setting}='{server.address}'"
    links["logs"] = f"{data}/*/log"
    return links


def render_table(rows: Mapping[str, str], addresses: Mapping[str, str]) -> RenderableType:
    """The rows and addresses as a table for a terminal."""
    hint = "\nCtrl-C stops everything and keeps the data; `make clean` deletes it."
    # Two tables, so that long names above take no columns from the links: broken ones can be neither opened nor copied.
    return Group(Text(), _create_table(rows), Text(), _create_table(addresses), Text(hint, style="dim"))


def _create_table(rows: Mapping[str, str]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(value))
    return table


def render_line(rows: Mapping[str, str]) -> str:
    """The rows as one line for a file or a log."""
    return " | ".join(f"{name}: {value}" for name, value in rows.items())
