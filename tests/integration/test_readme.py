"""The commands in README.md work when they are pasted."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.stack import SERVICES, run_stack

README = Path(__file__).parents[2] / "README.md"


def walkthrough() -> str:
    """The shell blocks under the heading about a first relationship."""
    section = README.read_text().partition("## A first relationship\n")[2].partition("\n## ")[0]
    return "".join(re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))


# The tests need nothing but Python and make; .ci/run makes sure that curl is installed.
@pytest.mark.skipif(shutil.which("curl") is None, reason="the walkthrough needs curl, which is not installed")
def test_a_first_relationship_leads_to_an_alert_in_the_inbox_and_a_caseload_can_be_checked(
    kafka_servers: str, mongodb_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_servers)
    monkeypatch.setenv("MONGODB_URI", mongodb_uri)
    ports, block = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True)), walkthrough()
    for port, name in enumerate(SERVICES, start=8001):
        block = block.replace(f"127.0.0.1:{port}", f"127.0.0.1:{ports[name]}")

    with run_stack(tmp_path, ports, {}):
        result = subprocess.run(
            ["bash", "-eu", "-c", block],  # a terminal has no pipefail
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    assert result.returncode == 0, result.stdout + result.stderr
    *_, acknowledgement, page, caseload = result.stdout.splitlines()
    assert '"case_code":"ELM-0001"' in acknowledgement
    assert '"status":"acknowledged"' in acknowledgement
    assert page.startswith(f"as a page: http://127.0.0.1:{ports['notify']}/inbox/")
    assert caseload == '{"rows":1,"started":1,"already_known":0,"dry_run":true}'
