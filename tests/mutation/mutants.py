"""The mutants of a module: each replaces one expression or statement by another."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
"""The boundary moved, or the opposite."""
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
FLOAT_FACTOR = 1.5  # a constant that is half as large again is a defect, and still a credible number


@dataclass(frozen=True)
class Mutant:
    """A change of the source text between two offsets in bytes."""

    file: Path
    line: int
    start: int
    end: int
    before: str
    after: str

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.after.encode() + source[self.end :]


def mutants_of(file: Path, source: bytes) -> list[Mutant]:
    """Every mutant of a module, in the order of the source."""
    line_starts = [0]
    for line in source.splitlines(keepends=True):
        line_starts.append(line_starts[-1] + len(line))

    def mutant(node: ast.expr | ast.stmt, after: str) -> Mutant:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = line_starts[node.lineno - 1] + node.col_offset
        end = line_starts[node.end_lineno - 1] + node.end_col_offset
        before = " ".join(source[start:end].decode().split())
        return Mutant(file, node.lineno, start, end, before, after)

    mutants = [
        mutant(node, after)
        for node in _code(ast.parse(source))
        for after in _mutations(node)
        if after != ast.unparse(node)
    ]
    return sorted(mutants, key=lambda m: (m.start, m.end, m.after))


def _code(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """The expressions and statements that run: no annotations, no decorators, nothing for the type checker only."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        for child in node.orelse:
            yield from _code(child)
        return
    if isinstance(node, ast.expr | ast.stmt):
        yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.FunctionDef) and child.returns is not None:
                for statement in ast.walk(child):
                    statement.returned_type = ast.unparse(child.returns)  # type: ignore[attr-defined]
            if isinstance(child, ast.AST):
                yield from _code(child)


def _mutations(node: ast.expr | ast.stmt) -> Iterator[str]:
    """What may stand in the place of `node`."""
    return _expression_mutations(node) if isinstance(node, ast.expr) else _statement_mutations(node)


def _expression_mutations(node: ast.expr) -> Iterator[str]:
    """Expressions in brackets, so that precedence cannot change."""
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            for comparison in COMPARISONS[type(operator)]:
                yield f"({ast.unparse(ast.Compare(left, [comparison()], [right]))})"
        case ast.BinOp(left=left, op=arithmetic, right=right) if type(arithmetic) in ARITHMETIC:
            yield f"({ast.unparse(ast.BinOp(left, ARITHMETIC[type(arithmetic)](), right))})"
        case ast.BoolOp(op=connective, values=values):
            other = ast.Or() if isinstance(connective, ast.And) else ast.And()
            yield f"({ast.unparse(ast.BoolOp(other, values))})"
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield f"({ast.unparse(operand)})"
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield f"({ast.unparse(ast.IfExp(test, orelse, body))})"
        case ast.Call(func=ast.Name(id=name)) if name in CALLS:
            yield ast.unparse(ast.Call(ast.Name(CALLS[name]), node.args, node.keywords))
        case ast.Constant(value=bool(value)):
            yield str(not value)
        case ast.Constant(value=int() | float() as value):
            yield str(value + 1) if isinstance(value, int) else f"{FLOAT_FACTOR * value or 1.0:.12g}"


def _statement_mutations(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.Return(value=ast.expr() as value):
            yield f"return {_other_value(value, getattr(node, 'returned_type', ''))}"
        case ast.If(orelse=[]) | ast.AugAssign() | ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "pass"
        case ast.Expr(value=ast.Call()):
            yield "pass"


def _other_value(value: ast.expr, returned_type: str) -> str:
    match returned_type:
        case "bool":
            return f"not ({ast.unparse(value)})"
        case "int" | "float":
            return f"({ast.unparse(value)}) + 1"
        case _:
            return "None"
