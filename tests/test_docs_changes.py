"""What the pages say that ``makemigrations`` writes is what it writes, and survives."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import nullcontext
from io import StringIO
from typing import Any

import pytest
from django.core.management.commands.makemigrations import Command as DjangoCommand
from django.db import DatabaseError
from django.db.migrations import Migration
from django.db.migrations.state import ProjectState

from syzygy.management.commands.makemigrations import Command
from tests.command_helpers import Project
from tests.docs_changes import Section, comparable, run, sections
from tests.docs_helpers import (
    DOCS,
    Block,
    apply,
    blocks,
    deploy,
    initial,
    migration,
    read,
    shop_state,
)
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

PAGE = "reference/makemigrations"
SECTIONS = list(sections())
# Writes the blocks into the pages, rather than to compare them.
WRITE = bool(os.environ.get("SYZYGY_WRITE_DOCS"))
# The fields of which the text says that a release has to cope with None in them.
STAGES = ("any", "pre-deploy", "post-deploy")
COPES = {
    "add-callable": ["code"],
    "add-unique": ["key"],
    "both-ways": ["subtitle"],
    "drop-not-null": ["text"],
    "remove-constrained": ["heading"],
    "remove-foreign-key": ["author"],
    "remove-unique": ["email"],
    "set-not-null": ["subtitle"],
}
# Those of which the text says that they keep the running release from deleting rows.
HAZARDS = {"add-foreign-key", "add-m2m"}


@pytest.mark.skipif(UNDER_TEST != "postgresql", reason="The pages are of PostgreSQL.")
@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_what_is_written(section: Section, project: Project) -> None:
    written = run(project, section)
    if WRITE:
        page = DOCS / f"reference/changes/{section.page}.rst"
        text = page.read_text(encoding="utf-8")
        page.write_text(
            text.replace(section.text, section.with_written(written)), encoding="utf-8"
        )
    else:
        assert comparable(section.written) == comparable(written)


@pytest.mark.skipif(UNDER_TEST != "sqlite", reason="What is written is tried on all.")
@pytest.mark.parametrize(
    "section", [each for each in SECTIONS if "Migration(" in each.text], ids=str
)
def test_both_releases_survive(section: Section, project: Project) -> None:
    del project
    if "contrib.postgres" in section.text:
        pytest.skip("It is for PostgreSQL.")
    refused = section.label in HAZARDS
    with pytest.raises(DatabaseError) if refused else nullcontext():
        survive(blocks(section.text), COPES.get(section.label, ()))


WRITTEN_BY_HAND = [
    ("how-to/backfill", "backfill-null", ["code"]),
    ("how-to/backfill", "backfill-rows", []),
    ("how-to/backfill", "backfill-where", []),
    (PAGE, "makemigrations-several", []),
]


@pytest.mark.skipif(UNDER_TEST != "sqlite", reason="Operations are tried on all.")
@pytest.mark.parametrize(("page", "label", "copes"), WRITTEN_BY_HAND)
def test_both_releases_survive_what_is_written_by_hand(
    page: str, label: str, copes: list[str], project: Project
) -> None:
    del project
    survive([block for block in blocks(read(page)) if block.label == label], copes)


def survive(found: list[Block], copes: Sequence[str]) -> None:
    """Deploy the migrations among the blocks, with both releases at work."""
    halves: dict[str, list[Migration]] = {stage: [] for stage in STAGES}
    for block in found:
        if block.language == "python":
            name, _, stage = block.caption[:-1].rpartition(" (")
            halves[stage].append(migration(block, name.rpartition("/")[2][:-3]))
    deployed = apply([initial(shop_state())], ProjectState())
    deploy(deployed, halves["any"] + halves["pre-deploy"], halves["post-deploy"], copes)


def test_options_have_entries() -> None:
    documented = re.findall(r"^\.\. option:: (\S+)", read(PAGE), re.MULTILINE)
    assert {*documented} == options(Command()) - options(DjangoCommand())


def options(command: Any) -> set[str]:
    parser = command.create_parser("manage.py", "makemigrations")
    return {
        option
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
    }


def test_the_message_is_that_of_the_example() -> None:
    (block,) = (b for b in blocks(read(PAGE)) if b.label == "makemigrations-refusals")
    (section,) = (each for each in SECTIONS if each.label == "rename-field")
    (example,) = (b for b in blocks(section.text) if b.language == "text")
    assert block.text == example.text


def test_the_message_about_a_squashed_migration(project: Project) -> None:
    (block,) = (b for b in blocks(read(PAGE)) if b.label == "makemigrations-squash")
    (section,) = (each for each in SECTIONS if each.label == "add-default")
    run(project, section)
    told = StringIO()
    arguments = block.caption.split()
    project.call(*arguments, interactive=False, verbosity=0, stderr=told)
    assert told.getvalue() == block.text


# Says that it was there.
OTHER = """
from django.core.management.commands.makemigrations import Command as DjangoCommand

class Command(DjangoCommand):
    def handle(self, *args, **options):
        self.stdout.write("other")
        return super().handle(*args, **options)
"""


def test_the_combined_command(project: Project) -> None:
    (block,) = (b for b in blocks(read(PAGE)) if b.caption.startswith("yourapp"))
    assert len([line for line in block.text.splitlines() if line]) == 4
    models = "from django.db import models\nclass A(models.Model):\n    {}\n"
    project.installed[:] = ["yourapp", "other_app", "syzygy"]
    project.app("yourapp")
    project.write(block.caption, block.text)
    project.write("other_app/management/commands/makemigrations.py", OTHER)
    project.app("shop", {}, models.format("x = models.TextField(null=True)"))
    output = project.call("makemigrations")
    assert output.startswith("other\n")
    assert "0001_initial" in output

    project.write("shop/models.py", models.format('x = models.TextField(default="")'))
    assert "0002_fill_a_x" in project.call("makemigrations", "--noinput")
