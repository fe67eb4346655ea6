"""What the documentation says is safe passes a rehearsal."""

from __future__ import annotations

import shutil

import pytest
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from syzygy.rehearsal.run import Options, rehearse
from syzygy.rules import catalogue
from tests.command_helpers import Project
from tests.docs_helpers import APP, DOCS, initial, migration, shop_state
from tests.rehearsal_helpers import BREAKS, Deployed, Told, rehearsed
from tests.services import UNDER_TEST
from tests.test_docs import INSTEAD, SECTIONS, captioned, compiled, examples

pytest_plugins = ["tests.command_fixtures"]


@pytest.fixture(scope="module")
def shop() -> ProjectState:
    return shop_state()


def survives(project: Project, state: ProjectState, steps: list[Deployed]) -> None:
    before: list[Operation] = list(initial(state).operations)
    told = Told(rehearsed(project, before, *steps, label=APP))
    assert told.rehearsal.complete, told.text
    assert not told.rehearsal.count(BREAKS), told.text
    assert not told.rehearsal.not_probed, told.text


@pytest.mark.parametrize("code", [c for c in catalogue() if len(examples(c)) > 1])
def test_correct_code_passes(code: str, shop: ProjectState, project: Project) -> None:
    found = examples(code)
    steps = []
    for title in INSTEAD:
        if title in found:
            made = compiled(found[title])
            stage = getattr(made, "stage", None)
            steps.append(Deployed(tuple(made.operations), stage))
    survives(project, shop, steps)


RECIPES = [label for page, label in SECTIONS if page == "how-to/write-migrations"]


@pytest.mark.parametrize("label", RECIPES)
def test_recipe_passes(label: str, shop: ProjectState, project: Project) -> None:
    deployments: list[list[Deployed]] = []
    is_done = True
    for block in SECTIONS["how-to/write-migrations", label]:
        name, stage = captioned(block)
        made = migration(block, name)
        if is_done and stage != "post-deploy":
            deployments.append([])
        is_done = stage == "post-deploy"
        if not deployments:
            deployments.append([])
        deployments[-1].append(
            Deployed(tuple(made.operations), getattr(made, "stage", None))
        )
    state = ProjectState({key: each.clone() for key, each in shop.models.items()})
    for steps in deployments:
        survives(project, state, steps)
        for step in steps:
            for operation in step.operations:
                operation.state_forwards(APP, state)


def test_demo_passes(project: Project) -> None:
    library = DOCS / "demo" / "release_2" / "library"
    shutil.copytree(library, project.path / "library")
    project.installed.append("library")
    with project.active():
        told = Told(rehearse(Options(targets=["library.0001"])))
    assert told.rehearsal.complete, told.text
    assert not told.rehearsal.count(BREAKS), told.text
    # There "A" is "a", so that nothing violates what wants lower case.
    expected = {"library.Member.email"} if UNDER_TEST == "mariadb" else set()
    assert {each.label for each in told.rehearsal.not_probed} == expected, told.text
