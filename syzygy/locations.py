"""Where migrations and their operations stand in the files of the project."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.migrations import Migration

if TYPE_CHECKING:
    import ast


class Location(NamedTuple):
    """A line of a file; the path is relative to the current directory if it is below.

    Both are empty or zero where there is no such file.
    """

    path: str = ""
    line: int = 0


class Definition(NamedTuple):
    """The file that defines a migration, and the lines in it.

    ``line`` is that of the class; ``operations`` are the first and the last line of
    each operation, empty where the list isn't written out in the file.
    """

    path: str = ""
    source: bytes = b""
    line: int = 0
    operations: tuple[tuple[int, int], ...] = ()

    def location(self, position: int | None = None) -> Location:
        """Where the migration stands, or its operation at a position of the list."""
        if position is not None and position < len(self.operations):
            return Location(self.path, self.operations[position][0])
        return Location(self.path, self.line)


def locate(migration: Migration, position: int | None = None) -> Location:
    """Where a migration is defined, or its operation at a position of the list.

    The line is that of the class where the list isn't written out in the file.
    """
    return definition(migration).location(position)


def path_of(migration: Migration) -> str:
    """The file that defines a migration; empty if there is none."""
    module = sys.modules.get(type(migration).__module__)
    return getattr(module, "__file__", None) or ""


def source_of(migration: Migration) -> bytes:
    """What is in the file, as it was imported; empty if that can't be read."""
    module = sys.modules.get(type(migration).__module__)
    loader: Any = getattr(getattr(module, "__spec__", None), "loader", None)
    try:
        # Not from the file itself, which an index of git may have in another version.
        return bytes(loader.get_data(path_of(migration)))
    except (AttributeError, OSError):
        return b""


def definition(migration: Migration) -> Definition:
    """What defines a migration, as far as it can be found and read."""
    # Not imported at the top: most commands never get here.
    import ast

    path = path_of(migration)
    if not path:
        return Definition()
    source = source_of(migration)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return Definition(_shown(path), source, 1)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Migration":
            return Definition(_shown(path), source, node.lineno, tuple(_lines(node)))
    return Definition(_shown(path), source, 1)


def _lines(node: ast.ClassDef) -> Iterator[tuple[int, int]]:
    """The lines of each operation in the body of a migration."""
    import ast

    for statement in node.body:
        if (
            isinstance(statement, ast.Assign | ast.AnnAssign)
            and isinstance(statement.value, ast.List)
            and "operations" in map(_name, _targets(statement))
            # One that is unpacked moves those after it.
            and not any(isinstance(e, ast.Starred) for e in statement.value.elts)
        ):
            for element in statement.value.elts:
                yield element.lineno, element.end_lineno or element.lineno


def _targets(statement: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    import ast

    if isinstance(statement, ast.AnnAssign):
        return [statement.target]
    return statement.targets


def _name(target: ast.expr) -> str:
    return str(getattr(target, "id", ""))


def _shown(path: str) -> str:
    try:
        relative = os.path.relpath(path)
    except ValueError:  # Windows has no path from one drive to another.
        return path
    return path if relative.startswith(os.pardir) else relative
