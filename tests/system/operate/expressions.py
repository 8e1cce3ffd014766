"""The metrics and labels in the expressions of rules and dashboards."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from tools.sandbox.servers.process import PROJECT_ROOT

RULES_FOLDER = PROJECT_ROOT / "deploy" / "prometheus" / "rules"
DASHBOARDS_FOLDER = PROJECT_ROOT / "deploy" / "grafana" / "dashboards"

PROMETHEUS_METRICS = {
    "up": {"job"},
    "ALERTS": {"alertname", "alertstate", "group"},
}
"""Metrics that Prometheus itself provides about its targets and rules."""
TARGET_LABELS = {"service", "instance", "job"}
"""Labels that Prometheus adds to every series when it scrapes it."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(r"((?:\w+:)*(?:attune|process|python)[_:]\w+(?::\w+)*|\bup\b|\bALERTS\b)\s*(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


@dataclass(frozen=True)
class Expression:
    """One expression and its location."""

    location: str
    promql: str
    alert: str = ""
    record: str = ""
    rule: Mapping[str, Any] = field(default_factory=dict)
    """The rule as it is written in its file; empty for a panel."""

    @property
    def metrics(self) -> dict[str, set[str]]:
        """The metrics that it uses, each with the labels that it matches."""
        found: dict[str, set[str]] = {}
        for name, matchers in _SELECTOR.findall(_STRING.sub('""', self.promql)):
            found.setdefault(name, set()).update(_MATCHER.findall(matchers))
        return found

    @property
    def grouped_by(self) -> set[str]:
        """The labels that it groups or joins by."""
        groups = _GROUPING.findall(_STRING.sub('""', self.promql))
        return {label.strip() for group in groups for label in group.split(",") if label.strip()}


def rule_expressions() -> Iterator[Expression]:
    """The expressions of all rules."""
    for file in sorted(RULES_FOLDER.glob("*.yml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                yield Expression(file.name, rule["expr"], rule.get("alert", ""), rule.get("record", ""), rule)


def panel_expressions() -> Iterator[Expression]:
    """The expressions of all dashboards."""
    for file in sorted(DASHBOARDS_FOLDER.glob("*.json")):
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield Expression(f"{file.name}: {panel['title']}", target["expr"])


def find_problems(expression: Expression, labels_by_metric: Mapping[str, set[str]]) -> list[str]:
    """Metrics and labels in an expression that do not exist. `labels_by_metric` has the labels of every series name."""
    problems, known_labels = [], set[str]()
    for name, labels in expression.metrics.items():
        if name not in labels_by_metric:
            problems.append(f"{expression.location}: metric {name} is not exported")
            continue
        known_labels |= labels_by_metric[name]
        problems += [
            f"{expression.location}: {name} has no label {label}"
            for label in sorted(labels - labels_by_metric[name] - TARGET_LABELS)
        ]
    if expression.metrics:
        problems += [
            f"{expression.location}: unknown label {label}"
            for label in sorted(expression.grouped_by - known_labels - TARGET_LABELS)
        ]
    return problems


def add_recorded_metrics(labels_by_metric: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Add the metrics of Prometheus and of the recording rules; a recorded metric has the labels of its grouping."""
    recorded_labels = {
        expression.record: expression.grouped_by - {"le"} for expression in rule_expressions() if expression.record
    }
    return {**PROMETHEUS_METRICS, **labels_by_metric, **recorded_labels}


def underlying_metrics(expression: Expression) -> set[str]:
    """The exported metrics that an expression uses, directly or through recording rules."""
    by_name = {rule.record: rule for rule in rule_expressions() if rule.record}
    metrics = set[str]()
    for name in expression.metrics:
        metrics |= underlying_metrics(by_name[name]) if name in by_name and name != expression.record else {name}
    return metrics
