"""Deliberate defects: each patch removes one guarantee from a copy of the code, and the checker must detect it."""

import shutil
import subprocess
from pathlib import Path

from tools.sandbox.servers.process import PROJECT_ROOT, RunError

PATCHES = Path(__file__).with_name("defects")
COPIED_FOLDERS = ("services", "shared", "deploy", "tests", "tools")


def defect_names() -> list[str]:
    """The names of all defects, sorted."""
    return sorted(patch.stem for patch in PATCHES.glob("*.patch"))


def copy_with_defect(name: str, target: Path) -> Path:
    """Copy the code to `target` and apply the patch. Raises RunError if the patch does not apply any more."""
    for folder in COPIED_FOLDERS:
        shutil.copytree(PROJECT_ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    patch = PATCHES / f"{name}.patch"
    result = subprocess.run(["git", "apply", str(patch)], cwd=target, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RunError(f"defect {name}: patch {patch.name} no longer applies; update it:\n{result.stderr}")
    return target
