"""What is shown: a table that renews itself on a terminal, and a line now and then elsewhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tools.sandbox.demo.figures import Figures
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.servers.process import LocalServer

STATUSES = ("open", "acknowledged", "resolved", "repaired", "retracted")


def rows(
    told: str,
    ledger: Ledger,
    figures: Figures,
    mails: Sequence[object],
    hooks: Sequence[object],
    ended: Sequence[LocalServer],
) -> dict[str, str]:
    """Everything, in words and numbers."""
    severities = ", ".join(f"{figures.open[severity]} {severity}" for severity in ("urgent", "concern", "watch"))
    display_rows = {
        "network": told,
        "relationships": f"{figures.relationships}",
        "sent this time": f"{ledger.sessions} sessions, {ledger.answers} answers",
        "scores": f"{figures.scores}",
        "signs of rupture": f"{figures.open.total()} open ({severities}), {figures.repaired} repaired",
        "alerts": ", ".join(f"{figures.alerts[status]} {status}" for status in STATUSES),
        "delivered": f"{len(mails)} e-mails, {len(hooks)} webhooks",
        "alliance": f"{figures.rate:.0f} events/s, {figures.events:.0f} since the start",
        "not yet taken": ", ".join(f"{service} {lag}" for service, lag in figures.lag.items()),
    }
    if ledger.refused:
        display_rows["refused"] = f"{len(ledger.refused)}, the last: {ledger.refused[-1][:200]}"
    if ended:
        display_rows["FAILED"] = ", ".join(f"{server.name} has ended; its log: {server.log}" for server in ended)
    return display_rows


def addresses(urls: Mapping[str, str], figures: Figures, data: Path) -> dict[str, str]:
    """What to open."""
    links = {}
    if figures.worst_off:
        links["an inbox"] = f"{urls['notify']}/inbox/{figures.worst_off}"
    for service, url in urls.items():
        links[service] = f"{url}/docs   {url}/metrics"
    links["logs"] = f"{data}/*/log"
    return links


def picture(rows: Mapping[str, str], addresses: Mapping[str, str]) -> RenderableType:
    """For a terminal."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(value))
    table.add_row("", "")
    for name, value in addresses.items():
        table.add_row(name, Text(value))
    return Group(Text(), table, Text("\nCtrl-C stops everything and keeps the data; make clean forgets.", style="dim"))


def line(rows: Mapping[str, str]) -> str:
    """For a file, or whoever reads along."""
    return " | ".join(f"{name}: {value}" for name, value in rows.items())
