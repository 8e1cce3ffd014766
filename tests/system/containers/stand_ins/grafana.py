"""A stand-in for Grafana: it parses the mounted YAML and JSON files and answers the health check."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import yaml

for file in sorted(Path("/etc/grafana").rglob("*.y*ml")):
    yaml.safe_load(file.read_text())
    print(f"read {file}", flush=True)
for file in sorted(Path("/etc/grafana").rglob("*.json")):
    print(f"read {file}: {json.loads(file.read_text())['title']}", flush=True)
assert Path("/run/secrets/grafana_admin_password").read_text().strip()


class HealthHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_line: object) -> None:
        pass


HTTPServer(("", 3000), HealthHandler).serve_forever()
