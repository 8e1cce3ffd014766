"""Who knows one service knows all four: they have the same modules under the same names, and all modules are short."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.contracts.documents import SERVICES
from tools.sandbox.servers.process import PROJECT_ROOT

MODULES = {
    "__init__",  # the question that the service answers
    "__main__",  # its commands
    "app",  # the composition root
    "settings",
    "metrics",
    "domain",
    "subscriptions",
    "handlers",
    "service",
    "store",
    "http",
    "rebuild",
}
CONSUMES_NOTHING = {"handlers", "rebuild"}
"""Modules that intake lacks: it consumes no events, so it has no batches to handle and no view to rebuild."""
ONLY_THERE = {
    "intake": {"commands"},
    "sessions": {"templates"},
    "alliance": {"policies"},
    "notify": {"channels", "delivery", "templates"},
}
"""Modules and folders that only one service has, each named for its subject."""
STORE = {"__init__", "protocol", "mongo", "memory"}

CONFIGURATION = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = CONFIGURATION["tool"]["importlinter"]["root_packages"]
MAX_FUNCTION_LINES = 40
MAX_MODULE_LINES = 300


def modules(folder: Path) -> set[str]:
    """The names of the modules and folders of a package; a module that grew is a folder of the same name."""
    return {entry.stem for entry in folder.iterdir() if entry.name != "__pycache__" and not entry.name.startswith(".")}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_same_modules_as_every_other(service: str) -> None:
    missing = CONSUMES_NOTHING if service == "intake" else set[str]()

    assert modules(PROJECT_ROOT / "services" / service) == (MODULES - missing) | ONLY_THERE[service]


@pytest.mark.parametrize("service", SERVICES)
def test_a_store_has_a_protocol_and_two_implementations(service: str) -> None:
    store = PROJECT_ROOT / "services" / service / "store"

    assert modules(store) >= STORE
    assert modules(store) - STORE <= {"stored_names"}


@pytest.mark.parametrize("service", SERVICES)
def test_http_has_an_api_and_pages_only_for_people(service: str) -> None:
    http = modules(PROJECT_ROOT / "services" / service / "http")

    assert "api" in http
    assert ("pages" in http) == ((PROJECT_ROOT / "services" / service / "templates").exists())


def test_every_top_level_package_is_held_to_its_layer() -> None:
    packages = {folder.parent.name for folder in PROJECT_ROOT.glob("*/__init__.py")}

    assert packages == set(PACKAGES)


def test_a_function_has_at_most_forty_lines() -> None:
    long = {
        (name, function.name)
        for name, source in _sources()
        for function in _functions(source)
        if _length(function) > MAX_FUNCTION_LINES
    }

    assert long == set()


def test_a_module_has_at_most_three_hundred_lines() -> None:
    assert {name for name, source in _sources() if len(source.splitlines()) > MAX_MODULE_LINES} == set()


def _sources() -> Iterator[tuple[str, str]]:
    """Every module: its path, and its source."""
    for package in PACKAGES:
        for file in sorted((PROJECT_ROOT / package).rglob("*.py")):
            yield file.relative_to(PROJECT_ROOT).as_posix(), file.read_text(encoding="utf-8")


def _functions(source: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or 0) - function.lineno + 1
