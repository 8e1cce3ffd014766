"""The dashboards, made from a list of questions: `python -m deploy.grafana` writes dashboards/*.json."""
