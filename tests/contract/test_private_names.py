"""Tests use what other code may use: the public names of the code that they test."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.sandbox.servers.process import PROJECT_ROOT

EXCEPTIONS = {
    # A header name that is not UTF-8 cannot be sent through aiokafka's public API, and clients in other languages do.
    ("tests/system/support/poison.py", "batch._builder"),
    ("tests/system/support/poison.py", "aiokafka.record.default_records._DefaultRecordBatchBuilderPy"),
}
"""Private names that a test must use, by file, each with its reason."""

PRIVATE = re.compile(r"_[a-z]", re.IGNORECASE)
PRIVATE_METHOD = re.compile(r"[A-Z]\w*\._[a-z]\w*")  # as a string that names a method of a class
TEST_FILES = sorted((PROJECT_ROOT / "tests").rglob("*.py"))
PRODUCTION_FILES = [file for folder in ("services", "shared") for file in (PROJECT_ROOT / folder).rglob("*.py")]


def private_uses(tree: ast.Module) -> Iterator[str]:
    """The private names that a module uses and that are not its own."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name) if PRIVATE.match(name):
                yield ast.unparse(node)
            case ast.ImportFrom(module=module, names=names):
                yield from (f"{module}.{alias.name}" for alias in names if PRIVATE.match(alias.name))
            case ast.Call(args=[_, ast.Constant(value=str(name)), *_]) if PRIVATE.match(name):
                if ast.unparse(node.func).rpartition(".")[2] in ("getattr", "setattr", "delattr", "attrgetter"):
                    yield ast.unparse(node)
            case ast.Constant(value=str(name)) if PRIVATE_METHOD.fullmatch(name):
                yield name


def overridden_methods(tree: ast.Module, production_methods: set[str]) -> Iterator[str]:
    """The private methods of production code that a subclass in a test replaces."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.bases:
            yield from (f"{node.name}.{name}" for name in methods(node) if name in production_methods)


def methods(node: ast.ClassDef) -> set[str]:
    return {method.name for method in node.body if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)}


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def test_no_test_reaches_into_private_names() -> None:
    uses = {
        (file.relative_to(PROJECT_ROOT).as_posix(), name) for file in TEST_FILES for name in private_uses(parse(file))
    }

    assert uses == EXCEPTIONS


def test_no_test_overrides_a_private_method() -> None:
    production_methods = {
        name
        for file in PRODUCTION_FILES
        for node in ast.walk(parse(file))
        if isinstance(node, ast.ClassDef)
        for name in methods(node)
        if PRIVATE.match(name)
    }
    # A private method of a test may have the same name by chance only if its class extends nothing of production code.
    overridden = {
        (file.relative_to(PROJECT_ROOT).as_posix(), name)
        for file in TEST_FILES
        for name in overridden_methods(parse(file), production_methods)
    }

    assert overridden == set()


@pytest.mark.parametrize(
    "reach",
    [
        "store._alliances",
        "super()._save()",
        "builder().store._alliances.clear()",
        "from services.alliance.app import _wire",
        "getattr(store, '_alliances')",
        "monkeypatch.setattr(store, '_alliances', {})",
        "FaultPoint('after', 'Store._save')",
    ],
)
def test_a_reach_into_private_names_is_found(reach: str) -> None:
    assert list(private_uses(ast.parse(reach)))


@pytest.mark.parametrize("own", ["self._published", "cls._count", "_helper()", "document['_id']", "x.__dict__"])
def test_own_private_names_are_allowed(own: str) -> None:
    assert not list(private_uses(ast.parse(own)))
