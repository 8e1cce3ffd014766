"""Breaking the services deliberately: each guarantee is taken out of a copy of the code, and the judge must notice."""

import shutil
import subprocess
from pathlib import Path

from tools.sandbox.servers.process import HOME, CannotRun

PATCHES = Path(__file__).with_name("defects")
CODE = ("services", "shared", "deploy", "tests", "tools")


def names() -> list[str]:
    """Of all defects."""
    return sorted(patch.stem for patch in PATCHES.glob("*.patch"))


def with_defect(name: str, home: Path) -> Path:
    """Copy the code to `home` and take the guarantee out. Raises CannotRun where the patch does not fit any more."""
    for folder in CODE:
        shutil.copytree(HOME / folder, home / folder, ignore=shutil.ignore_patterns("__pycache__"))
    patch = PATCHES / f"{name}.patch"
    result = subprocess.run(["git", "apply", str(patch)], cwd=home, capture_output=True, text=True, check=False)
    if result.returncode:
        raise CannotRun(f"the defect {name} does not fit the code any more; make {patch.name} anew:\n{result.stderr}")
    return home
