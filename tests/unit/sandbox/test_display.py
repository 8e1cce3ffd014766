"""The display of the demo."""

import subprocess
import sys
from io import StringIO
from pathlib import Path
from uuid import UUID

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from rich.console import Console

from tests.support.serving import run_app
from tools.sandbox.demo import display
from tools.sandbox.demo.display import PageAddresses
from tools.sandbox.demo.figures import Figures
from tools.sandbox.network.clinic_systems import ClinicSystems
from tools.sandbox.network.credentials import NoCredentials
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.servers.kafka import kafka_server
from tools.sandbox.servers.mongod import mongodb_server
from tools.sandbox.servers.process import LocalServer
from tools.sandbox.servers.stack import SERVICES, RunningStack

CLINIC_ID = UUID(int=2)


def create_server(name: str, data: Path) -> LocalServer:
    return LocalServer(name, "127.0.0.1:1", [], data / name, 1, lambda: True)


def test_each_link_stands_whole_on_one_line_of_80_columns() -> None:
    token = "x" * 43
    figures = Figures(busiest_clinician=UUID(int=1), open_form_url=f"http://localhost:65000/f/{token}")
    pages = PageAddresses("http://localhost:65000", "http://192.0.2.111:65000")
    urls = {name: f"http://127.0.0.1:{port}" for port, name in enumerate(SERVICES, 65001)}
    addresses = display.build_addresses(RunningStack("", "", urls, urls, [], [], 0), pages, figures, Path("/data"))
    output, rows = StringIO(), display.build_rows("", Ledger(), figures, [], [], [])

    Console(width=80, file=output).print(display.render_table(rows, addresses))

    lines = output.getvalue().splitlines()
    phone_link = f"http://192.0.2.111:65000/f/{token}"
    for link in (figures.open_form_url, phone_link, f"http://localhost:65000/inbox/{UUID(int=1)}"):
        assert sum(line.endswith(link) for line in map(str.rstrip, lines)) == 1, lines


def test_settings_that_lead_commands_to_the_servers_of_the_demo_can_be_copied(tmp_path: Path) -> None:
    servers = [
        kafka_server(tmp_path, 65001, 65002, report=print),
        mongodb_server(tmp_path, 65003, report=print),
    ]
    addresses = display.build_addresses(
        RunningStack("", "", {}, {}, servers, [], 0), PageAddresses(""), Figures(), tmp_path
    )
    output = StringIO()

    Console(width=80, file=output).print(display.render_table({}, addresses))

    lines = [line.strip() for line in output.getvalue().splitlines()]
    assert any(line.endswith("export KAFKA_BOOTSTRAP_SERVERS='127.0.0.1:65001'") for line in lines), lines
    assert any(line.endswith("export MONGODB_URI='mongodb://127.0.0.1:65003/?replicaSet=rs0'") for line in lines), lines


async def test_the_link_to_a_form_stays_the_same_as_long_as_it_is_open() -> None:
    answered = set[UUID]()
    app, (first, second, third) = FastAPI(), (UUID(int=number) for number in range(3))

    @app.get("/f/{session}")
    async def form(session: UUID) -> Response:
        return Response(status_code=410 if session in answered else 200)

    @app.post("/sessions/{session}/client-link")
    async def client_link(session: UUID) -> Response:
        return JSONResponse({"url": f"https://gateway.example/f/{session}"}, 409 if session in answered else 200)

    @app.get("/health/ready")
    async def ready() -> None:
        """Always."""

    figures = Figures()
    async with (
        run_app(app) as http,
        ClinicSystems({"sessions": [str(http.base_url)]}, NoCredentials(), Ledger()) as clinic_systems,
    ):
        await figures.refresh_form(clinic_systems, {})
        assert figures.open_form_url == ""
        await figures.refresh_form(clinic_systems, {first: CLINIC_ID})
        await figures.refresh_form(clinic_systems, {second: CLINIC_ID, first: CLINIC_ID})
        assert figures.open_form_url == f"https://gateway.example/f/{first}"
        answered |= {first, third}
        await figures.refresh_form(clinic_systems, dict.fromkeys([third, second, first], CLINIC_ID))
        assert figures.open_form_url == f"https://gateway.example/f/{second}"


def test_a_service_that_exited_is_shown_with_its_log(tmp_path: Path) -> None:
    alliance, notify = create_server("alliance", tmp_path), create_server("notify", tmp_path)
    attune = RunningStack("", "", {}, {}, [], [alliance, notify], 0)
    assert "FAILED" not in display.build_rows("", Ledger(), Figures(), [], [], attune.failed_servers)

    with subprocess.Popen([sys.executable, "-c", ""]) as alliance.process:
        pass
    rows = display.build_rows("", Ledger(), Figures(), [], [], attune.failed_servers)

    assert rows["FAILED"] == f"alliance exited; log: {tmp_path}/alliance/log"
    assert rows["FAILED"] in display.render_line(rows)
