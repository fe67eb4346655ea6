"""What projects use in their own tests."""

from __future__ import annotations

import unittest
from typing import Any

import pytest
from django.db import connections
from django.test import TestCase

from syzygy.rehearsal.findings import Phase, Rehearsal
from syzygy.rehearsal.start import StartError
from syzygy.testing import assert_deployment_survives
from tests.command_helpers import ADD, CREATE, REMOVE, Project, dump, source

pytest_plugins = ["tests.command_fixtures"]


@pytest.fixture
def blog(project: Project) -> Project:
    """Return a project whose database has all migrations, as that of a test has."""
    project.app(
        "blog",
        {
            "0001_initial": source(CREATE),
            "0002_add": source(ADD),
            "0003_remove": source(REMOVE, stage="Stage.PRE_DEPLOY"),
        },
    )
    project.call("migrate", verbosity=0)
    return project


def check(project: Project, **options: Any) -> Rehearsal:
    with project.active():
        return assert_deployment_survives(**options)


def test_a_deployment_that_survives(blog: Project) -> None:
    (blog.path / "blog/migrations/0003_remove.py").unlink()
    rehearsal = check(blog, start=["blog.0001"])
    assert [
        str(moment.point.migration)
        for moment in rehearsal.moments
        if moment.point.phase is Phase.PRE_DEPLOY
    ] == ["blog.0002_add"]
    assert not rehearsal.findings


def test_a_deployment_that_breaks(blog: Project) -> None:
    with pytest.raises(AssertionError) as caught:
        check(blog, start=["blog.0002"])
    assert "BREAKS: the old release fails at " in str(caught.value)
    assert "blog.0003_remove" in str(caught.value)


def test_nothing_to_deploy(blog: Project) -> None:
    assert not check(blog, start=["blog.0003"]).moments


def test_a_start_that_nobody_tells(blog: Project) -> None:
    with pytest.raises(ValueError, match="origin/main"):
        check(blog)


def test_a_level(blog: Project) -> None:
    """A column that comes back is NULL in the rows that there are."""
    (blog.path / "blog/migrations/0003_remove.py").unlink()
    blog.migrations(
        "blog",
        {
            "0003_n": source(
                'm.AddField("post", "n", models.IntegerField(null=True))',
                stage="Stage.PRE_DEPLOY",
            ),
            "0004_n": source(
                'm.RunSQL("UPDATE blog_post SET n = 1")',
                'm.AlterField("post", "n", models.IntegerField())',
                stage="Stage.POST_DEPLOY",
            ),
        },
    )
    assert check(blog, start=["blog.0002"]).findings
    with pytest.raises(AssertionError, match="HAZARD"):
        check(blog, start=["blog.0002"], fail_level="hazard")


def test_a_start_that_there_is_not(blog: Project) -> None:
    with pytest.raises(StartError, match="nope"):
        check(blog, start=["blog.nope"])


def test_the_connection_of_the_test_is_as_it_was(blog: Project) -> None:
    before = dump()
    connection, name = connections["default"], connections["default"].settings_dict
    with pytest.raises(AssertionError):
        check(blog, start=["blog.0002"])
    assert connections["default"] is connection
    assert connections["default"].settings_dict is name
    assert dump() == before


def test_in_a_test_case_of_django(blog: Project) -> None:
    """Which is in a transaction, on connections that it guards."""

    class DeploymentTests(TestCase):
        def test_deployment(self) -> None:
            assert_deployment_survives(start=["blog.0002"])

    with blog.active():
        result = unittest.TestResult()
        DeploymentTests("test_deployment").run(result)
    assert not result.errors
    [(_, message)] = result.failures
    assert "blog.0003_remove" in message
