"""Which models a deployment concerns."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from types import CodeType
from typing import Any

from django.db.migrations import RunPython, RunSQL
from django.db.migrations.operations.base import Operation

from syzygy.history import ModelKey
from syzygy.operations import Backfill
from syzygy.rehearsal.releases import Release, parts_of, touched_models
from syzygy.staging import Step


def models_to_probe(
    steps: Sequence[Step],
    releases: Sequence[Release],
    changed: Collection[ModelKey],
    *,
    is_undone: bool = False,
) -> tuple[set[ModelKey], list[Operation]]:
    """What the steps may concern, and the operations that don't tell what they touch.

    ``changed`` are the models that differ between the releases. What these refer to is
    included: their rows may be in the way when that is deleted. ``is_undone`` says that
    the steps are undone in the end.
    """
    keys = set(changed)
    silent: dict[int, Operation] = {}
    for step in steps:
        label = step.migration.app_label
        for operation in step.migration.operations:
            for backward in (False, True)[: 1 + is_undone]:
                touched = touched_models(operation, label) or set()
                touched |= _mentioned(operation, label, releases, backward=backward)
                if not (touched or _does_nothing(operation, backward=backward)):
                    silent[id(operation)] = operation
                keys |= touched
    related = {key for release in releases for key in release.related(keys)}
    return keys | related, list(silent.values())


def is_opaque(operation: Operation) -> bool:
    """Whether an operation may do anything to the rows."""
    if isinstance(operation, RunPython | RunSQL | Backfill):
        return True
    if parts := parts_of(operation):
        return any(map(is_opaque, parts))
    return not type(operation).__module__.startswith(("django.", "syzygy."))


def _does_nothing(operation: Operation, *, backward: bool) -> bool:
    """Whether it is SQL or code that isn't any, one way."""
    if isinstance(operation, RunSQL):
        return not (operation.reverse_sql if backward else operation.sql)
    if isinstance(operation, RunPython):
        code = operation.reverse_code if backward else operation.code
        return code in (None, RunPython.noop)
    parts = parts_of(operation)
    return bool(parts) and all(_does_nothing(part, backward=backward) for part in parts)


def _mentioned(
    operation: Operation,
    app_label: str,
    releases: Iterable[Release],
    *,
    backward: bool,
) -> set[ModelKey]:
    """The models whose tables or names occur in the SQL or the code of an operation."""
    found: set[ModelKey] = set()
    for part in parts_of(operation):
        found |= _mentioned(part, app_label, releases, backward=backward)
    words = words_in(_texts(operation, backward=backward))
    if isinstance(operation, RunSQL):
        for release in releases:
            found |= _with_table_in(words, release)
    elif isinstance(operation, RunPython):
        for release in releases:
            for key in release.state.models:
                if key[1] in words and (key[0] == app_label or key[0] in words):
                    found.add(key)
            found |= _with_table_in(words, release)
    elif isinstance(operation, Backfill):
        key = (app_label, operation.model_name_lower)
        # A proxy has the rows of the model behind it.
        found |= {r.concrete(key) for r in releases if key in r.state.models}
    return found


def _with_table_in(words: Collection[str], release: Release) -> set[ModelKey]:
    """The models of whose rows a table holds parts that is among the words."""
    found: set[ModelKey] = set()
    for model in release.apps.get_models(include_auto_created=True):
        # Quoting folds nothing; what isn't quoted may be in any case.
        if model._meta.db_table.lower() in words:
            found |= release.behind(model)
    return found


def words_of(operation: Operation) -> set[str]:
    """The words in the SQL of an operation, or in the texts of its code."""
    if isinstance(operation, RunSQL | RunPython):
        return words_in(
            [*_texts(operation, backward=False), *_texts(operation, backward=True)]
        )
    return set().union(*map(words_of, parts_of(operation)))


def _texts(operation: Operation, *, backward: bool) -> Iterator[str]:
    """The texts in the SQL or in the code of an operation, one way."""
    if isinstance(operation, RunSQL):
        yield from texts_in(operation.reverse_sql if backward else operation.sql)
    elif isinstance(operation, RunPython):
        yield from _strings(operation.reverse_code if backward else operation.code)


def words_in(texts: Iterable[str]) -> set[str]:
    """The words of SQL, in lower case."""
    return {word.lower() for text in texts for word in re.findall(r"\w+", text)}


def texts_in(value: Any) -> Iterator[str]:
    """The texts in what ``RunSQL`` accepts: one, or several, with or without values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_in(each)


def codes_in(function: Any) -> Iterator[CodeType]:
    """The code of a function and of those in it, if it is one of Python's."""
    stack = [getattr(function, "__code__", None)]
    while stack:
        code = stack.pop()
        if isinstance(code, CodeType):
            yield code
            stack += code.co_consts


def texts_of(code: CodeType) -> Iterator[str]:
    """The literal texts in code."""
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant


def _strings(function: Any) -> Iterator[str]:
    for code in codes_in(function):
        yield from texts_of(code)
