"""The mutants of a module: small changes of what runs, each a valid program."""

import ast
from pathlib import Path

import pytest

from tests.mutation.mutants import mutants_of


def mutations(source: str) -> set[tuple[str, str]]:
    return {(mutant.before, mutant.after) for mutant in mutants_of(Path("module.py"), source.encode())}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", {("a < b", "(a <= b)"), ("a < b", "(a >= b)")}),
        ("a is None", {("a is None", "(a is not None)")}),
        ("a - b", {("a - b", "(a + b)")}),
        ("a and not b", {("a and not b", "(a or not b)"), ("not b", "(b)")}),
        ("a if b else c", {("a if b else c", "(c if b else a)")}),
        ("x = min(a, 2)", {("min(a, 2)", "max(a, 2)"), ("2", "3")}),
        ("x = 0.4, True", {("0.4", "0.6"), ("True", "False")}),
        ("total += a", {("total += a", "pass")}),
        ("if a: b()", {("if a: b()", "pass"), ("b()", "pass")}),
        ("def f() -> bool: return a", {("return a", "return not (a)")}),
        ("def f() -> float: return a", {("return a", "return (a) + 1")}),
        ("def f() -> Alliance: return a", {("return a", "return None")}),
        ("def f() -> None: return None", set()),
        ("def f(a: Literal[1]) -> None: ...", set()),
    ],
)
def test_a_mutant_changes_one_operation_constant_or_statement(source: str, expected: set[tuple[str, str]]) -> None:
    assert mutations(source) == expected


def test_a_mutant_is_applied_where_it_was_found() -> None:
    source = 'name = "ä"\nlevel = (1 +\n         2)\n'.encode()

    programs = [mutant.apply(source).decode() for mutant in mutants_of(Path("module.py"), source)]

    assert [ast.unparse(ast.parse(program)).splitlines()[1] for program in programs] == [
        "level = 2 + 2",
        "level = 1 - 2",
        "level = 1 + 3",
    ]
