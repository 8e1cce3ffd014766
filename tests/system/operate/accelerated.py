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

SPEEDUP = 20
SECONDS_BY_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
WINDOW_PATTERN = re.compile(r"\[(\d+)([smhdw])\]")

PROMETHEUS_FOLDER = Path(__file__).parents[3] / "deploy" / "prometheus"
ALERTMANAGER_FILE = Path(__file__).parents[3] / "deploy" / "alertmanager" / "alertmanager.yml"


def write_rules(folder: Path) -> list[Path]:
    """Write every file of rules, faster, into the folder `to`."""
    folder.mkdir()
    written = []
    for file in sorted((PROMETHEUS_FOLDER / "rules").glob("*.yml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        for group in content["groups"]:
            group["rules"] = [_accelerate_rule(rule) for rule in group["rules"]]
        written.append(folder / file.name)
        written[-1].write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return written


def _accelerate_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    duration = {"for": _shorten_duration(rule["for"])} if "for" in rule else {}
    return {**rule, **duration, "expr": accelerate(rule["expr"])}


def accelerate(expression: str) -> str:
    """The same over shorter windows."""
    return WINDOW_PATTERN.sub(lambda window: f"[{_shorten_duration(window[1] + window[2])}]", expression)


def _shorten_duration(duration: str) -> str:
    """Prometheus's own durations, of one unit; never less than three scrapes, which a rate needs."""
    return f"{max(3, int(duration[:-1]) * SECONDS_BY_UNIT[duration[-1]] // SPEEDUP)}s"


def write_prometheus_config(target: Path, targets: Mapping[str, str], alertmanager: str) -> Path:
    """Write the configuration: the real one, but faster, and with everybody where they are here."""
    config = yaml.safe_load((PROMETHEUS_FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    (job,) = config["scrape_configs"]
    job.pop("relabel_configs")  # they make the label that is given here
    job["static_configs"] = [
        {"targets": [address], "labels": {"service": service}} for service, address in targets.items()
    ]
    target.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return target


def write_alertmanager_config(target: Path, webhook_base_url: str) -> Path:
    """Write the routing: the real one, at once, and with every receiver at `hook` under its name."""
    config = yaml.safe_load(ALERTMANAGER_FILE.read_text(encoding="utf-8"))
    for route in (config["route"], *config["route"]["routes"]):
        route.update(group_wait="0s", group_interval="1s", repeat_interval="1h")
    for receiver in config["receivers"]:
        receiver["webhook_configs"] = [{"url": f"{webhook_base_url}/{receiver['name']}", "send_resolved": True}]
    target.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return target
