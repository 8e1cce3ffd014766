import subprocess
from pathlib import Path

import pytest

from tests.system.chaos import defects
from tools.sandbox.servers.process import PROJECT_ROOT
from tools.sandbox.servers.stack import service_process


@pytest.mark.parametrize("name", defects.defect_names())
def test_the_patch_of_each_defect_applies_to_the_current_code(name: str, tmp_path: Path) -> None:
    code_root = defects.copy_with_defect(name, tmp_path)
    assert (code_root / "services").is_dir()


def test_there_is_a_defect_for_each_guarantee() -> None:
    assert len(defects.defect_names()) >= 6


def test_a_process_runs_the_code_of_its_code_root_wherever_it_is_started(tmp_path: Path) -> None:
    """Otherwise nobody would run the code with the defect, and the checker would rightly find nothing."""
    module = tmp_path / "services" / "intake"
    module.mkdir(parents=True)
    for package in (module.parent, module):
        (package / "__init__.py").touch()
    (module / "__main__.py").write_text("print(__file__)")
    server = service_process("intake", tmp_path / "data", 8001, 9001, {}, code_root=tmp_path)

    result = subprocess.run(server.command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)

    assert Path(result.stdout.strip()) == module / "__main__.py"
