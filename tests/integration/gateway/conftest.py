"""The gateway's real configuration in a real nginx, in front of a service that answers everything."""

import os
import shutil
import ssl
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request

from tests.support.serving import run_app
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import PROJECT_ROOT, LocalServer

PASSWORD = "a password that only this test knows"
SERVICE_HEADER = "x-service-of-the-test"
"""Says which service a request was meant for: here, all of them are one."""


@pytest.fixture
async def upstream_port() -> AsyncIterator[int]:
    """The port of a service that answers every request with what arrived of it."""
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def answer(request: Request) -> dict[str, Any]:
        headers = dict(request.headers)
        service = headers.pop(SERVICE_HEADER, None)
        size = len(await request.body())
        return {"service": service, "path": request.url.path, "headers": headers, "size": size}

    async with run_app(app) as client:
        port = client.base_url.port
        assert port
        yield port


@pytest.fixture
def gateway_port(upstream_port: int, tmp_path: Path) -> Iterator[int]:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    port, second_port, health_port = free_ports(3)
    _create_secrets(tmp_path)
    configuration = (PROJECT_ROOT / "deploy/gateway/nginx.conf").read_text(encoding="utf-8")
    for old, new in {
        "/tmp/": f"{tmp_path}/",
        "/run/secrets/": f"{tmp_path}/",
        "listen 443 ": f"listen 127.0.0.1:{port} ",
        "listen 8443 ": f"listen 127.0.0.1:{second_port} ",
        "127.0.0.1:8080": f"127.0.0.1:{health_port}",
        "proxy_set_header Host": f"proxy_set_header {SERVICE_HEADER} $service; proxy_set_header Host",
        "http://$service:8000": f"http://127.0.0.1:{upstream_port}",
        "/dev/stdout": f"{tmp_path}/access.log",
    }.items():
        assert old in configuration
        configuration = configuration.replace(old, new)
    (tmp_path / "nginx.conf").write_text(configuration)
    user = "" if os.geteuid() else " user root;"  # other users cannot read the test's folder
    command: list[str | Path] = ["nginx", "-c", tmp_path / "nginx.conf", "-g", f"daemon off;{user}"]
    with LocalServer("nginx", f"127.0.0.1:{port}", command, tmp_path, port, lambda: _answers(health_port)):
        yield port


@pytest.fixture
async def gateway(gateway_port: int) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the gateway."""
    async with httpx2.AsyncClient(base_url=f"https://127.0.0.1:{gateway_port}", verify=insecure_context()) as client:
        yield client


def insecure_context() -> ssl.SSLContext:
    """Accepts the self-signed certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _create_secrets(folder: Path) -> None:
    hashed = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], capture_output=True, text=True, check=True).stdout
    (folder / "gateway_users").write_text(f"staff:{hashed}")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files: list[str | Path] = ["-keyout", folder / "tls_key", "-out", folder / "tls_certificate"]
    subprocess.run(
        ["openssl", "req", "-x509", *curve, "-subj", "/CN=localhost", *files], capture_output=True, check=True
    )


def _answers(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as response:
        return bool(response.status == 204)
