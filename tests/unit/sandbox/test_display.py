"""The display of the demo."""

import subprocess
import sys
from pathlib import Path

from tools.sandbox.demo import display
from tools.sandbox.demo.figures import Figures
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.servers.process import LocalServer
from tools.sandbox.servers.stack import RunningStack


def create_server(name: str, data: Path) -> LocalServer:
    return LocalServer(name, "127.0.0.1:1", [], data / name, 1, lambda: True)


def test_a_service_that_exited_is_shown_with_its_log(tmp_path: Path) -> None:
    alliance, notify = create_server("alliance", tmp_path), create_server("notify", tmp_path)
    attune = RunningStack("", "", {}, [], [alliance, notify], 0)
    assert "FAILED" not in display.build_rows("", Ledger(), Figures(), [], [], attune.failed_servers)

    with subprocess.Popen([sys.executable, "-c", ""]) as alliance.process:
        pass
    rows = display.build_rows("", Ledger(), Figures(), [], [], attune.failed_servers)

    assert rows["FAILED"] == f"alliance exited; log: {tmp_path}/alliance/log"
    assert rows["FAILED"] in display.render_line(rows)
