"""What the pages say that ``makemigrations`` writes is what it writes, and survives."""

from __future__ import annotations

import os
from contextlib import nullcontext

import pytest
from django.db import DatabaseError
from django.db.migrations import Migration
from django.db.migrations.state import ProjectState

from tests.command_helpers import Project
from tests.docs_changes import Section, comparable, run, sections
from tests.docs_helpers import (
    DOCS,
    apply,
    blocks,
    deploy,
    initial,
    migration,
    shop_state,
)
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

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
    halves: dict[str, list[Migration]] = {stage: [] for stage in STAGES}
    for block in blocks(section.text):
        if block.language == "python":
            name, _, stage = block.caption[:-1].rpartition(" (")
            halves[stage].append(migration(block, name.rpartition("/")[2][:-3]))
    deployed = apply([initial(shop_state())], ProjectState())
    refused = section.label in HAZARDS
    with pytest.raises(DatabaseError) if refused else nullcontext():
        deploy(
            deployed,
            halves["any"] + halves["pre-deploy"],
            halves["post-deploy"],
            copes=COPES.get(section.label, ()),
        )
