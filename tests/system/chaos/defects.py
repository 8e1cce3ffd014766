"""Breaking the services deliberately: each guarantee is taken out of a copy of the code, and the judge must notice."""

import shutil
import subprocess
from pathlib import Path

from tools.sandbox.servers.process import PROJECT_ROOT, RunError

PATCHES = Path(__file__).with_name("defects")
COPIED_FOLDERS = ("services", "shared", "deploy", "tests", "tools")


def defect_names() -> list[str]:
    """Of all defects."""
    return sorted(patch.stem for patch in PATCHES.glob("*.patch"))


def copy_with_defect(name: str, target: Path) -> Path:
    """Copy the code to `home` and take the guarantee out. Raises CannotRun where the patch does not fit any more."""
    for folder in COPIED_FOLDERS:
        shutil.copytree(PROJECT_ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    patch = PATCHES / f"{name}.patch"
    result = subprocess.run(["git", "apply", str(patch)], cwd=target, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RunError(f"the defect {name} does not fit the code any more; make {patch.name} anew:\n{result.stderr}")
    return target
