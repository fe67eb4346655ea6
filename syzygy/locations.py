"""Where migrations and their operations stand in the files of the project."""

from __future__ import annotations

import ast
import os
import sys
from typing import NamedTuple

from django.db.migrations import Migration


class Location(NamedTuple):
    """A line of a file; the path is relative to the current directory if it is below.

    Both are empty or zero where there is no such file.
    """

    path: str = ""
    line: int = 0


def locate(migration: Migration, position: int | None = None) -> Location:
    """Where a migration is defined, or its operation at a position of the list.

    The line is that of the class where the list isn't written out in the file.
    """
    module = sys.modules.get(type(migration).__module__)
    path = getattr(module, "__file__", None)
    if not path:
        return Location()
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return Location(_shown(path), 1)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Migration":
            return Location(_shown(path), _line(node, position))
    return Location(_shown(path), 1)


def _line(node: ast.ClassDef, position: int | None) -> int:
    for statement in node.body:
        if (
            position is not None
            and isinstance(statement, ast.Assign | ast.AnnAssign)
            and isinstance(statement.value, ast.List)
            and "operations" in map(_name, _targets(statement))
            and position < len(statement.value.elts)
            # One that is unpacked moves those after it.
            and not any(isinstance(e, ast.Starred) for e in statement.value.elts)
        ):
            return statement.value.elts[position].lineno
    return node.lineno


def _targets(statement: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    if isinstance(statement, ast.AnnAssign):
        return [statement.target]
    return statement.targets


def _name(target: ast.expr) -> str:
    return target.id if isinstance(target, ast.Name) else ""


def _shown(path: str) -> str:
    try:
        relative = os.path.relpath(path)
    except ValueError:  # Windows has no path from one drive to another.
        return path
    return path if relative.startswith(os.pardir) else relative
