"""Migration files that say when they run, and why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from textwrap import wrap
from typing import Any

from django.core.management.commands import makemigrations
from django.db.migrations.writer import MigrationWriter

from syzygy.generation.errors import Unwritable
from syzygy.generation.states import Changes

_CLASS = re.compile(r"\n*^class Migration\(migrations\.Migration\):\n", re.MULTILINE)
_ATOMIC = re.compile(r"^    atomic = ", re.MULTILINE)
_WIDTH = 78


class StageWriterMixin(MigrationWriter):
    """Writes the ``stage`` of a migration and the ``comments`` that it has.

    Both are attributes of the migration.
    """

    def as_string(self) -> str:
        """The contents of the file.

        Raises :class:`Unwritable` for what isn't found by its name, such as a lambda.
        """
        # Not imported at the top: most runs have nothing to write.
        from syzygy.requirements import to_stage

        try:
            text = super().as_string()
        except ValueError as error:
            summary = str(error).partition("\n")[0].rstrip(".")
            raise Unwritable(
                f'"{self.migration}" can\'t be written: {summary}. What is in a '
                "migration file has to be a plain value, or something of a module "
                "that is imported by its name."
            ) from error
        stage = to_stage(getattr(self.migration, "stage", None))
        comments: list[str] = getattr(self.migration, "comments", [])
        lines = [
            f"# {line}" for comment in comments for line in wrap(comment, _WIDTH - 4)
        ]
        if stage is not None:
            lines.append(f"stage = Stage.{stage.name}")
        if not self.migration.atomic and not _ATOMIC.search(text):
            # Django writes that itself since 6.1.
            lines += ["", "atomic = False"]
        match = _CLASS.search(text)
        if not lines or match is None:
            return text
        imports = "\nfrom syzygy import Stage" if stage is not None else ""
        body = "".join(f"    {line}".rstrip() + "\n" for line in lines)
        return (
            f"{text[: match.start()]}{imports}\n\n\n"
            f"{match[0].lstrip()}{body}{text[match.end() :]}"
        )


def ensure_writable(changes: Changes) -> None:
    """Raise :class:`Unwritable` if any of the migrations is, before one is written."""
    writer: Any = vars(makemigrations)["MigrationWriter"]
    for migrations in changes.values():
        for migration in migrations:
            writer(migration).as_string()


@contextmanager
def writing_stages() -> Iterator[None]:
    """Have ``makemigrations`` write what it writes with stages."""
    with derived(makemigrations, "MigrationWriter", StageWriterMixin):
        yield


@contextmanager
def derived(module: Any, name: str, mixin: Any) -> Iterator[None]:
    """Have a class of a module of Django's be one with the mixin in front of it."""
    original = getattr(module, name)
    ours = _derived(mixin, original)
    setattr(module, name, ours)
    try:
        yield
    finally:
        # Somebody else may have put something in its place meanwhile.
        if getattr(module, name) is ours:
            setattr(module, name, original)


@cache
def _derived(mixin: type[Any], original: type[Any]) -> type[Any]:
    if issubclass(original, mixin):
        return original
    return type(original.__name__, (mixin, original), {})
