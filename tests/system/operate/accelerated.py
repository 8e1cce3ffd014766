"""The real rules and routing, accelerated so that a test need not wait for production time ranges.

Every `for` and every window is `SPEEDUP` times shorter, and targets are scraped every 2 s instead of every 15 s.
Thresholds do not change. A window of five minutes has 7 scrapes here and 20 in production.
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
    """Write every rule file, accelerated, into `folder`."""
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
    """The same expression with shorter windows."""
    return WINDOW_PATTERN.sub(lambda window: f"[{_shorten_duration(window[1] + window[2])}]", expression)


def _shorten_duration(duration: str) -> str:
    """Shorten a Prometheus duration of one unit, to no less than the three seconds that a rate needs."""
    return f"{max(3, int(duration[:-1]) * SECONDS_BY_UNIT[duration[-1]] // SPEEDUP)}s"


def write_prometheus_config(target: Path, targets: Mapping[str, str], alertmanager: str) -> Path:
    """Write the real configuration, accelerated and with local addresses."""
    config = yaml.safe_load((PROMETHEUS_FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    (job,) = config["scrape_configs"]
    job.pop("relabel_configs")  # they set the label that is set here
    job["static_configs"] = [
        {"targets": [address], "labels": {"service": service}} for service, address in targets.items()
    ]
    target.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return target


def write_alertmanager_config(target: Path, webhook_base_url: str) -> Path:
    """Write the real routing without waits, with every receiver at `webhook_base_url` under its name."""
    config = yaml.safe_load(ALERTMANAGER_FILE.read_text(encoding="utf-8"))
    for route in (config["route"], *config["route"]["routes"]):
        route.update(group_wait="0s", group_interval="1s", repeat_interval="1h")
    for receiver in config["receivers"]:
        receiver["webhook_configs"] = [{"url": f"{webhook_base_url}/{receiver['name']}", "send_resolved": True}]
    target.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return target
