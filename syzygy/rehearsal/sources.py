"""Whether two texts of a migration module do the same."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator

from syzygy.graph import MigrationKey

# They say where a migration stands and when it runs, not what it does.
_PLACEMENT = {"dependencies", "initial", "replaces", "run_before", "stage"}
# Arguments of fields of which a database never hears. Those who tidy up old migrations
# take them out, so that nothing needs the functions any more that they name.
_OF_NO_COLUMN = {
    "blank",
    "editable",
    "error_messages",
    "help_text",
    "limit_choices_to",
    "related_name",
    "related_query_name",
    "storage",
    "upload_to",
    "validators",
    "verbose_name",
}
# Some that others' fields make a type of, such as an ENUM.
_OF_NO_COLUMN_OF_DJANGO = {"choices"}


def is_same_migration(
    old: bytes, new: bytes | None, *, but_for_code: bool = False
) -> bool:
    """Whether both do the same, as far as that can be told without running them.

    Formatting, comments, docstrings, annotations, the order of imports and what isn't
    used of them make no difference, nor do arguments of fields that the database never
    hears of, nor a migration's place among the others. ``but_for_code`` leaves out the
    functions that operations are given, and what only those use. ``None`` is no text at
    all.
    """
    if old == new:
        return True
    if new is None:
        return False
    trees = [_meaning(text, but_for_code) for text in (old, new)]
    return trees[0] is not None and trees[0] == trees[1]


def replaced_in(text: bytes) -> set[MigrationKey]:
    """What the migration replaces, if it says so literally."""
    tree = _parse(text)
    found = set()
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                if "replaces" in _assigned(statement):
                    for pair in ast.walk(statement):
                        if isinstance(pair, ast.Tuple) and len(pair.elts) == 2:
                            label, name = map(_string, pair.elts)
                            found.add((label, name))
    return found


def _string(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""


def _parse(text: bytes) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _meaning(text: bytes, but_for_code: bool) -> tuple[str, frozenset[str]] | None:
    """The module without what makes no difference, and what it imports and uses."""
    tree = _parse(text)
    if tree is None:
        return None
    try:
        body = _Essence().visit(tree)
        imports = [n for n in body.body if isinstance(n, ast.Import | ast.ImportFrom)]
        body.body = [node for node in body.body if node not in imports]
        if but_for_code:
            body.body = _without_code(body.body)
        used = {n.id for n in ast.walk(body) if isinstance(n, ast.Name)}
        return ast.dump(body), frozenset(
            name for node in imports for name in _imported(node, used)
        )
    except RecursionError:
        return None


def _imported(node: ast.Import | ast.ImportFrom, used: set[str]) -> list[str]:
    """What a statement imports, each on its own, of the names that are used."""
    if isinstance(node, ast.ImportFrom):
        source = f"from {'.' * node.level}{node.module or ''} "
    else:
        source = ""
    return [
        f"{source}import {alias.name} as {alias.asname or alias.name}"
        for alias in node.names
        if alias.name == "*" or (alias.asname or alias.name).partition(".")[0] in used
    ]


def _assigned(node: ast.stmt) -> list[str]:
    """The names that a statement gives a value."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _without_code(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a module that tell what its operations are."""
    defined: dict[str, list[ast.stmt]] = {}
    pending = []
    for node in body:
        names = _defined(node)
        for name in names:
            defined.setdefault(name, []).append(node)
        if not names or "Migration" in names:
            pending.append(node)
    kept: list[ast.stmt] = []
    while pending:
        node = pending.pop()
        if node not in kept:
            kept.append(node)
            for name, is_given in _used(node):
                pending += (
                    each
                    for each in defined.get(name, ())
                    if not (is_given and isinstance(each, ast.FunctionDef))
                )
    return [node for node in body if node in kept]


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement is about which does nothing else."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    return _assigned(node)


def _used(node: ast.stmt) -> Iterator[tuple[str, bool]]:
    """The names in a statement, and whether they are but given to a new object.

    Operations and fields are; the functions among their arguments run later, if at all.
    """
    given: set[ast.expr] = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and _called(each)[:1].isupper():
            given.update(each.args, (keyword.value for keyword in each.keywords))
        elif isinstance(each, ast.Name):
            yield each.id, each in given


def _called(node: ast.Call) -> str:
    """The name of what is called, without that of its module."""
    name: str = getattr(node.func, "attr", getattr(node.func, "id", ""))
    return name


def _unheard(node: ast.Call) -> set[str]:
    """The arguments of which no database hears, if it is named as fields are."""
    if not _called(node).endswith(("Field", "ForeignKey")):
        return set()
    is_djangos = ast.unparse(node.func).startswith(("models.", "django."))
    return _OF_NO_COLUMN | (_OF_NO_COLUMN_OF_DJANGO if is_djangos else set())


def _is_placement(node: ast.stmt) -> bool:
    names = _assigned(node)
    return bool(names) and _PLACEMENT.issuperset(names)


class _Essence(ast.NodeTransformer):
    """Takes away what makes no difference to what a migration does."""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = [part for part in node.body if not _is_placement(part)]
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Take away docstrings, and other constants that nothing is done with."""
        if isinstance(node.value, ast.Constant):
            return None
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """Take away the annotation."""
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        bare = ast.Assign(targets=[node.target], value=node.value)
        return self.generic_visit(bare)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        # The first matters to squashing alone.
        ignored = {"elidable"} | _unheard(node)
        node.keywords = [k for k in node.keywords if k.arg not in ignored]
        return self.generic_visit(node)
