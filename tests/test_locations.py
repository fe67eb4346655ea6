"""Where migrations and their operations stand."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db.migrations import Migration

from syzygy.locations import Location, locate

HEAD = "from django.db import migrations as m\n\nclass Migration(m.Migration):\n"
Load = Callable[[str], Migration]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)

    def load(body: str) -> Migration:
        path = tmp_path / "0001_x.py"
        path.write_text(HEAD + body)
        spec = importlib.util.spec_from_file_location("located", path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "located", module)
        spec.loader.exec_module(module)
        migration: Migration = module.Migration("0001_x", "blog")
        return migration

    return load


def test_an_operation(load: Load) -> None:
    migration = load(
        "    operations = [\n        m.RunSQL('a'),\n        m.RunSQL(\n'b'),\n    ]\n"
    )
    assert locate(migration, 0) == Location("0001_x.py", 5)
    assert locate(migration, 1) == Location("0001_x.py", 6)


def test_an_annotated_list(load: Load) -> None:
    migration = load("    operations: list = [\n        m.RunSQL('a'),\n    ]\n")
    assert locate(migration, 0) == Location("0001_x.py", 5)


@pytest.mark.parametrize(
    "body",
    [
        "    operations = [m.RunSQL(x) for x in 'ab']\n",
        "    operations = [\n        *[m.RunSQL('a')],\n    m.RunSQL('b'),\n    ]\n",
        "    pass\n",
    ],
)
def test_a_list_that_is_not_written_out(load: Load, body: str) -> None:
    assert locate(load(body), 1) == Location("0001_x.py", 3)


def test_a_migration(load: Load) -> None:
    assert locate(load("    operations = [\n\nm.RunSQL('a')]\n")) == Location(
        "0001_x.py", 3
    )


def test_a_file_elsewhere(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migration = load("    pass\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert locate(migration).path == str(tmp_path / "0001_x.py")


def test_a_file_that_has_gone_or_changed(load: Load, tmp_path: Path) -> None:
    migration = load("    pass\n")
    (tmp_path / "0001_x.py").write_text("what = ?\n")
    assert locate(migration) == Location("0001_x.py", 1)
    (tmp_path / "0001_x.py").write_text("Migration = 1\n")
    assert locate(migration, 0) == Location("0001_x.py", 1)
    (tmp_path / "0001_x.py").unlink()
    assert locate(migration) == Location("0001_x.py", 1)


def test_a_migration_without_a_file() -> None:
    made = type("Migration", (Migration,), {"__module__": "nowhere"})
    assert locate(made("0001_x", "blog")) == Location()
