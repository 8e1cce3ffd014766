"""The real rules and the real routing on a faster clock, so that a test need not wait as long as a person may.

`for` and every window are FASTER times shorter; everybody is asked every two seconds, in production every 15. What is
compared with what, thresholds among it, stays as it is. So a window of five minutes is one of 7 scrapes here, and of 20
in life.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FASTER = 20
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
WINDOW = re.compile(r"\[(\d+)([smhdw])\]")

PROMETHEUS = Path(__file__).parents[3] / "deploy" / "prometheus"
ALERTMANAGER = Path(__file__).parents[3] / "deploy" / "alertmanager" / "alertmanager.yml"


def rules(to: Path) -> list[Path]:
    """Write every file of rules, faster, into the folder `to`."""
    to.mkdir()
    written = []
    for file in sorted((PROMETHEUS / "rules").glob("*.yml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        for group in content["groups"]:
            group["rules"] = [_faster(rule) for rule in group["rules"]]
        written.append(to / file.name)
        written[-1].write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return written


def _faster(rule: Mapping[str, Any]) -> dict[str, Any]:
    duration = {"for": _shorter(rule["for"])} if "for" in rule else {}
    return {**rule, **duration, "expr": shortened(rule["expr"])}


def shortened(expression: str) -> str:
    """The same over shorter windows."""
    return WINDOW.sub(lambda window: f"[{_shorter(window[1] + window[2])}]", expression)


def _shorter(duration: str) -> str:
    """Prometheus's own durations, of one unit; never less than three scrapes, which a rate needs."""
    return f"{max(3, int(duration[:-1]) * SECONDS[duration[-1]] // FASTER)}s"


def prometheus(to: Path, targets: Mapping[str, str], alertmanager: str) -> Path:
    """Write the configuration: the real one, but faster, and with everybody where they are here."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    (job,) = config["scrape_configs"]
    job.pop("relabel_configs")  # they make the label that is given here
    job["static_configs"] = [
        {"targets": [address], "labels": {"service": service}} for service, address in targets.items()
    ]
    to.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return to


def alertmanager(to: Path, webhook_base_url: str) -> Path:
    """Write the routing: the real one, at once, and with every receiver at `hook` under its name."""
    config = yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8"))
    for route in (config["route"], *config["route"]["routes"]):
        route.update(group_wait="0s", group_interval="1s", repeat_interval="1h")
    for receiver in config["receivers"]:
        receiver["webhook_configs"] = [{"url": f"{webhook_base_url}/{receiver['name']}", "send_resolved": True}]
    to.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return to
