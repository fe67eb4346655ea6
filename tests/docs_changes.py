"""The pages on what ``makemigrations`` writes: how they are read, and made.

A section has a diff of the models of the examples, then the files that the command
writes for it, each with its SQL on PostgreSQL, or what the command says instead.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import django
from django.core.management import CommandError

from syzygy.history import History
from syzygy.stages import Policy, decide
from tests.command_helpers import Project
from tests.docs_helpers import APP, DOCS, Block, migration

PAGES = sorted((DOCS / "reference/changes").glob("*.rst"))
MODELS = (DOCS / "examples/shop/models.py").read_text(encoding="utf-8")

_SECTION = re.compile(r"^\.\. _change-([\w-]+):\n", re.MULTILINE)
_BLOCK = r"\.\. code-block:: {}\n(?:   :caption: {}\n)?\n(?:(?:   .*)?\n)+"
_DIFF = re.compile(_BLOCK.format("diff", r"shop/models\.py"))
_SQL = re.compile(_BLOCK.format("sql", r"shop/migrations/.*"))
_LANGUAGE, _CAPTION = "(?:python|sql|text)", "(?:shop/migrations/.*|makemigrations)"
_WRITTEN = re.compile(f"(?:{_BLOCK.format(_LANGUAGE, _CAPTION)})+")
# The comments of sqlmigrate are the operations again.
_RANDOM = re.compile("'[0-9a-f]{32,64}'")
_COMMENT = re.compile(r"^--.*\n", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """A change of the models; ``written`` is what the page says comes of it."""

    page: str
    label: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}-{self.label}"

    @property
    def models(self) -> str:
        """The source of the changed models."""
        match = _DIFF.search(self.text)
        assert match, self
        _, _, diff = match[0].partition("\n\n")
        return patched(MODELS, textwrap.dedent(diff).strip("\n") + "\n")

    @property
    def written(self) -> str:
        match = _WRITTEN.search(self.text)
        return match[0] if match else ""

    def with_written(self, written: str) -> str:
        """The source of the section, with other blocks."""
        if self.written:
            return self.text.replace(self.written, written)
        match = _DIFF.search(self.text)
        assert match
        return f"{self.text[: match.end()]}{written}{self.text[match.end() :]}"


def sections() -> Iterator[Section]:
    """All sections, in order."""
    for page in PAGES:
        _, *parts = _SECTION.split(page.read_text(encoding="utf-8"))
        for label, text in zip(parts[::2], parts[1::2], strict=True):
            yield Section(page.stem, label, text)


def comparable(written: str) -> str:
    """What is written, without the SQL where that is another version's of Django."""
    return written if django.VERSION >= (6, 1) else _SQL.sub("", written)


def patched(text: str, diff: str) -> str:
    """Apply a diff whose hunks have no line numbers, and are parted by ``@@``."""
    for hunk in re.split(r"^@@\n", diff, flags=re.MULTILINE):
        lines = [line or " " for line in hunk.splitlines()]
        before = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
        after = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
        assert text.count(before) == 1, hunk
        text = text.replace(before, after)
    return text


def run(project: Project, section: Section) -> str:
    """What the command does, as blocks of a page."""
    folder = project.path / APP / "migrations"
    project.app(APP, {}, MODELS)
    project.call("makemigrations", "--no-header", verbosity=0)
    project.write(f"{APP}/models.py", section.models)
    try:
        project.call("makemigrations", "--no-header", "--noinput", verbosity=0)
    except CommandError as error:
        return _block("text", "makemigrations", f"CommandError: {error}\n")
    blocks = []
    previous = ""
    history = History()
    for file in sorted(folder.glob("0*.py")):
        text = file.read_text(encoding="utf-8")
        stage = _stage(file.stem, text, history)
        before, previous = previous, file.stem
        if not before:
            continue
        name = f"{APP}/migrations/{file.name}"
        blocks.append(_block("python", f"{name} ({stage})", text))
        if statements := _statements(project, file.stem, before):
            blocks.append(_block("sql", name, statements))
    return "".join(blocks)


def _statements(project: Project, name: str, before: str) -> str:
    """The SQL of a migration, without random values; empty if there is none."""
    if re.search("relax|remove|unique_together", name):
        # Django looks up what the constraints are called that it is to drop.
        project.call("migrate", APP, before, verbosity=0)
    sql = project.call("sqlmigrate", APP, name)
    statements = _RANDOM.sub("'...'", _COMMENT.sub("", sql)).strip()
    return "" if statements == "BEGIN;\nCOMMIT;" else statements


def _stage(name: str, text: str, history: History) -> str:
    made = migration(Block("", "python", name, text, 0), name)
    stage = decide(made, history, Policy()).stage
    return stage.label if stage else "any"


def _block(language: str, caption: str, text: str) -> str:
    lines = textwrap.indent(text.strip("\n"), "   ")
    return f".. code-block:: {language}\n   :caption: {caption}\n\n{lines}\n\n"
