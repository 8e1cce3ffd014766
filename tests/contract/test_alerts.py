"""Every alert has a severity, a description and a runbook, and its metrics are missed when they are absent."""

import json
import re
from typing import Any

import pytest
import yaml

from tests.system.operate.expressions import (
    DASHBOARDS_FOLDER,
    RULES_FOLDER,
    Expression,
    find_problems,
    rule_expressions,
    underlying_metrics,
)
from tests.system.operate.runbooks import RUNBOOKS_FOLDER, SHELL_BLOCK
from tools.contracts.dashboards.dashboards import build_dashboards
from tools.contracts.documents import create_registries, serialize
from tools.contracts.metrics import describe_metrics
from tools.sandbox.servers.process import PROJECT_ROOT

ALERTS = [rule for rule in rule_expressions() if rule.alert]
NAMES = sorted({rule.alert for rule in ALERTS})
CREATED_BY_FIRST_ERROR = {"attune_batch_retries_total", "attune_mongodb_command_errors_total"}
"""Absent until the first error; missing-metrics.yml says which metrics are watched instead."""

every_alert = pytest.mark.parametrize("rule", ALERTS, ids=[f"{r.alert}-{n}" for n, r in enumerate(ALERTS)])
every_name = pytest.mark.parametrize("name", NAMES)


def runbook_path(name: str) -> str:
    """The path of the runbook of an alert: DeadLetters has dead-letters.md."""
    return "docs/runbooks/" + re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower() + ".md"


@every_alert
def test_an_alert_states_its_severity_its_description_and_its_runbook(rule: Expression) -> None:
    labels, annotations = rule.rule["labels"], rule.rule["annotations"]

    assert labels["severity"] in ("critical", "warning", "none")
    assert annotations["summary"]
    assert rule.alert == "Watchdog" or "{{ $" in annotations["description"]
    assert annotations["runbook_url"] == runbook_path(rule.alert)
    assert (PROJECT_ROOT / annotations["runbook_url"]).exists()


@every_name
def test_a_runbook_has_every_part_that_its_reader_needs(name: str) -> None:
    text = (PROJECT_ROOT / runbook_path(name)).read_text(encoding="utf-8")

    for part in ("**What happened.**", "**What it means.**", "**How urgent.**", "## Look"):
        assert part in text
    assert SHELL_BLOCK.search(text), "the runbook has no command"
    assert "## Over when" in text or "The alert ends" in text


def test_there_is_no_runbook_without_an_alert() -> None:
    assert {f.name for f in RUNBOOKS_FOLDER.glob("*.md")} - {"README.md"} == {
        runbook_path(n).rpartition("/")[2] for n in NAMES
    }


@every_name
def test_every_alert_has_a_test(name: str) -> None:
    tests = "".join(file.read_text(encoding="utf-8") for file in (RULES_FOLDER.parent / "tests").glob("*.yml"))
    tested_patterns = set(re.findall(r"alertname(?:: |=~?\")([\w.*|]+)", tests))

    assert any(re.fullmatch(pattern, name) for pattern in tested_patterns)


@every_alert
def test_the_absence_of_a_metric_that_an_alert_needs_is_an_alert_itself(rule: Expression) -> None:
    watched = {name for query in rule_expressions() if "absent(" in query.promql for name in query.metrics}

    assert {_representative_metric(name) for name in underlying_metrics(rule)} <= watched | CREATED_BY_FIRST_ERROR


def _representative_metric(name: str) -> str:
    """The metric that stands for all series of a histogram, which exist only together."""
    return re.sub(
        r"attune_(alliance_scoring_duration|notify_alert_latency)_seconds_(count|sum)$",
        r"attune_\1_seconds_bucket",
        name,
    )


def test_a_recording_rule_is_named_by_labels_metric_and_operation() -> None:
    for rule in rule_expressions():
        assert not rule.record or re.fullmatch(r"[a-z_]+:attune_\w+:\w+|attune:\w+:\w+", rule.record)


def test_the_dashboards_are_up_to_date() -> None:
    committed = {file.name: file.read_text(encoding="utf-8") for file in DASHBOARDS_FOLDER.glob("*.json")}

    assert committed == {name: serialize(board) for name, board in build_dashboards().items()}, (
        "run: python -m tools.contracts"
    )


def test_grafana_finds_the_dashboards_and_prometheus() -> None:
    def provisioned(file: str) -> Any:
        return yaml.safe_load((DASHBOARDS_FOLDER.parent / "provisioning" / file).read_text(encoding="utf-8"))

    (provider,) = provisioned("dashboards/attune.yml")["providers"]
    (source,) = provisioned("datasources/prometheus.yml")["datasources"]
    boards = [json.loads(file.read_text(encoding="utf-8")) for file in DASHBOARDS_FOLDER.glob("*.json")]

    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    assert {panel["datasource"]["uid"] for board in boards for panel in board["panels"]} == {source["uid"]}


def test_no_metric_has_a_label_that_identifies_a_person() -> None:
    labels = {
        label
        for registry in create_registries().values()
        for metric in describe_metrics(registry)
        for label in metric.labels
    }

    assert not {label for label in labels if re.search(r"id$|name$|client$|clinician$|relationship|clinic", label)}


def test_an_unknown_metric_or_label_in_an_expression_is_reported() -> None:
    labels_by_metric = {"attune_x_total": {"kind"}, "attune:x:ratio_rate1h": {"kind"}}

    def problems_of(expression: str) -> list[str]:
        return find_problems(Expression("here", expression), labels_by_metric)

    assert problems_of('sum by (service, kind) (rate(attune_x_total{kind=~"a|b", job="attune"}[5m])) > 0') == []
    assert problems_of('attune:x:ratio_rate1h{kind="a}"} > 2') == []
    assert problems_of("rate(attune_y_total[5m])") == ["here: metric attune_y_total is not exported"]
    assert problems_of("attune:y:ratio_rate1h > 2") == ["here: metric attune:y:ratio_rate1h is not exported"]
    assert problems_of('attune_x_total{sort="a"}') == ["here: attune_x_total has no label sort"]
    assert problems_of("sum by (sort) (attune_x_total)") == ["here: unknown label sort"]
