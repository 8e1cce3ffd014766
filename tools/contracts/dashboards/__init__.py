"""The two Grafana dashboards, as JSON that Grafana provisions."""
