"""`make demo` installs what it runs, and nothing else; `make setup` installs the rest on top."""

import re
import tomllib
from pathlib import Path

from tests.contract.image_imports import ROOT, locked_distributions
from tools.contracts.documents import SERVICES

GROUPS_OF_OTHERS = ("evaluate", "bench", "dev")


def test_the_demo_has_all_packages_of_the_services_and_of_the_simulated_network() -> None:
    for lock in (*SERVICES, "jobs", "clinic"):
        assert locked_distributions(lock) <= locked_distributions("demo")


def test_the_demo_has_no_package_for_tests_evaluation_or_benches() -> None:
    """Neither those that these groups name, nor what only they need."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    others = {
        re.split(r"[^a-z0-9-]", requirement, maxsplit=1)[0]
        for group in GROUPS_OF_OTHERS
        for requirement in groups[group]
        if isinstance(requirement, str)
    }
    assert {"pytest", "numpy", "quixstreams", "mypy"} <= others

    assert not locked_distributions("demo") & {*others, "scipy", "pillow", "coverage", "mypy-extensions"}


def test_one_environment_serves_the_demo_and_development() -> None:
    """The same versions with the same hashes, so either can be installed on top of the other."""
    assert locked_packages("demo").items() <= locked_packages("dev").items()


def locked_packages(name: str) -> dict[str, frozenset[str]]:
    """The hashes of each version that a lock file names."""
    lock = Path(ROOT / "deploy" / "lock" / f"{name}.txt").read_text(encoding="utf-8")
    packages = re.split(r"^(?=[a-zA-Z0-9])", lock, flags=re.MULTILINE)[1:]
    return {package.split()[0]: frozenset(re.findall(r"sha256:\w+", package)) for package in packages}
