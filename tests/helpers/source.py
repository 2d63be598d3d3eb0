"""Python source as syntax trees, for the tests that hold rules about the code."""

import ast
from functools import cache
from pathlib import Path


@cache
def tree(path: Path) -> ast.Module:
    """Parse a module, once a process."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return all nodes of a module, breadth first, from one walk for all rules."""
    return tuple(ast.walk(tree(path)))
