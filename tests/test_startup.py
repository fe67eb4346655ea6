"""What is imported when: a command pays for nothing that it doesn't use.

Only an interpreter that has imported nothing can tell, so these tests start some.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.command_helpers import ADD, CREATE, REMOVE, STATE_ONLY, Project, source

pytest_plugins = ["tests.command_fixtures"]

LOOK = """
import json, sys
from importlib import import_module
seen = {}
def look(name):
    seen[name] = sorted(sys.modules)
import django
django.setup()
look("setup")
"""
TELL = "\nsys.stdout.write(json.dumps(seen))\n"


def modules(project: Project, code: str = "") -> dict[str, set[str]]:
    """Return what a process has imported whenever its code called ``look(name)``."""
    result = project.python(LOOK + code + TELL)
    assert result.returncode == 0, result.output
    seen: dict[str, Any] = json.loads(result.stdout)
    return {name: set(names) for name, names in seen.items()}


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.partition(".")[0] == "syzygy"}


def refusing(name: str) -> str:
    return f"raise RuntimeError('{name} is imported')\n"


@pytest.fixture
def project_of_many(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Make a project with all kinds of apps; much of it can't even be imported."""
    project.app(
        "blog",
        {
            "0001_initial": refusing("The baseline"),
            "0002_old": refusing("The baseline"),
            "0003_slug": source(CREATE),
            "0004_title": source(ADD, dependencies=[("blog", "0003_slug")]),
            "0005_title": source(REMOVE),
        },
    )
    project.app("settled", {"0001_initial": refusing("An overridden app")})
    project.app("adopted", {"0001_initial": refusing("The baseline")})
    project.app("plain", {"0001_initial": source(CREATE), "0002_x": source(STATE_ONLY)})
    project.write(
        "site-packages/parts/migrations/0001_initial.py", refusing("A third party")
    )
    init = project.path / "site-packages/parts/migrations/__init__.py"
    init.write_text(refusing("A third party"))
    project.installed.append("parts")
    project.extra = "import sys; sys.path.insert(0, BASE + '/site-packages')\n"
    project.settings = {
        "BASE": str(project.path),
        "MIGRATION_STAGES_BASELINE": {"blog": "0002_old", "adopted": "0001_initial"},
        "MIGRATION_STAGES_OVERRIDE": {"settled": "pre_deploy"},
    }
    return project


def test_what_starting_a_server_imports(project_of_many: Project) -> None:
    project = project_of_many
    with_app = modules(project)["setup"]
    project.installed.remove("syzygy")
    without = modules(project)["setup"]
    # Of Django, and of all else, nothing that isn't there anyway.
    added = with_app - without - ours(with_app)
    assert added <= {"__future__"}
    assert ours(with_app) <= {
        "syzygy",
        "syzygy.constants",
        "syzygy.apps",
        "syzygy.checks",
        "syzygy.exceptions",
        "syzygy.messages",
    }


def test_what_commands_import(project_of_many: Project) -> None:
    seen = modules(
        project_of_many,
        """
from django.core import checks
from django.core.management import ManagementUtility
ManagementUtility(["manage.py", "help"]).main_help_text()
look("help")
from syzygy import conf
from syzygy.management import coordination, executor, planning, report
conf.read()
look("nothing to stage")
assert checks.run_checks(tags=["syzygy"]) == []
look("check")
from django.core.management import get_commands, load_command_class
load_command_class(get_commands()["migrate"], "migrate")
look("command")
""",
    )
    assert ours(seen["help"]) == ours(seen["setup"])
    for name in ("syzygy.stages", "syzygy.rules", "syzygy.history"):
        assert name in seen["check"] - seen["nothing to stage"]
    migrations = {name for name in seen["check"] if ".migrations." in name}
    assert {name for name in migrations if not name.startswith("django.")} == {
        "blog.migrations.0003_slug",
        "blog.migrations.0004_title",
        "blog.migrations.0005_title",
        "plain.migrations.0001_initial",
        "plain.migrations.0002_x",
    }
    assert "parts.migrations" not in seen["check"]
    # What reads SQL, what reads words alike, and what migrates is for others to load.
    for name in ("sqlparse.engine", "difflib", "syzygy.sql", "syzygy.plan"):
        assert name not in seen["check"] - seen["setup"], name
    assert "syzygy.management.stager" not in seen["check"]
    assert "syzygy.management.stager" not in seen["command"]
    assert "syzygy.staging" not in seen["command"] - seen["check"]
    assert not {name for name in seen["command"] if name.startswith("syzygy.audit")}


def test_what_sql_imports(project: Project) -> None:
    project.app(
        "blog",
        {"0001_initial": source(CREATE), "0002_sql": source('m.RunSQL("SELECT 1")')},
    )
    check = "from django.core import checks\nchecks.run_checks(tags=['syzygy'])\n"
    assert "syzygy.sql" in modules(project, check + "look('check')\n")["check"]
