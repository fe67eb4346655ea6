"""Reading migrations from disk: :mod:`syzygy.disk` beside Django's loader."""

from __future__ import annotations

import gc
import importlib
import itertools
import py_compile
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.apps import AppConfig, apps
from django.db import models
from django.db.migrations import Migration, operations
from django.db.migrations.exceptions import BadMigrationError
from django.db.migrations.loader import MigrationLoader
from django.test import override_settings
from django.utils.functional import lazystr

from syzygy.disk import (
    concerns_other_apps,
    has_migration,
    history_of,
    import_ahead,
    migration_folder,
    replaced_by,
    without_garbage_collection,
)
from syzygy.management.executor import loading
from tests.graph_helpers import (
    Opaque,
    Project,
    add,
    create,
    key,
    migration,
    options,
    widen,
)

MIGRATION = "from django.db.migrations import Migration\n"
MIGRATION_CLASS = "migrations.Migration"
Install = Callable[..., AbstractContextManager[AppConfig]]

_numbers = itertools.count()


@pytest.fixture
def install(tmp_path: Path) -> Install:
    @contextmanager
    def installed(
        files: dict[str, str], module: str | None = ""
    ) -> Iterator[AppConfig]:
        """Install an app with these files, of which "app" stands for its package.

        ``module`` is what the settings say of its migrations, if they do.
        """
        package = f"syzygy_disk_{next(_numbers)}"
        for name, text in {"app/__init__.py": "", **files}.items():
            path = tmp_path / name.replace("app", package, 1)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        modules = {package: module and module.replace("app", package, 1)}
        before = set(sys.modules)
        sys.path.insert(0, str(tmp_path))
        importlib.invalidate_caches()
        try:
            with override_settings(
                INSTALLED_APPS=[package],
                MIGRATION_MODULES={} if module == "" else modules,
            ):
                yield apps.get_app_config(package)
        finally:
            sys.path.remove(str(tmp_path))
            for name in set(sys.modules) - before:
                if name.startswith(package):
                    del sys.modules[name]

    return installed


def django_names(app_config: AppConfig) -> list[str]:
    """Return the names of the migrations that Django's loader finds."""
    loader = MigrationLoader(None)
    assert loader.disk_migrations is not None
    return sorted(name for label, name in loader.disk_migrations)


def our_names(app_config: AppConfig) -> list[str]:
    folder = migration_folder(app_config)
    return list(folder.names) if folder else []


# Where an app keeps its migrations

INIT = {"app/migrations/__init__.py": ""}
FILES: dict[str, tuple[dict[str, str], list[str]]] = {
    "none": ({}, []),
    "empty": (INIT, []),
    "a module instead of a package": ({"app/migrations.py": ""}, []),
    "a folder without __init__": ({"app/migrations/0001.py": MIGRATION}, []),
    "migrations": (
        INIT
        | {f"app/migrations/{name}.py": MIGRATION for name in ("0002", "0001", "x")},
        ["0001", "0002", "x"],
    ),
    "what Django skips": (
        INIT
        | {
            "app/migrations/0001.py": MIGRATION,
            "app/migrations/_helpers.py": "",
            "app/migrations/~0002.py": "",
            "app/migrations/0003/__init__.py": "",
            "app/migrations/0004.txt": "",
            "app/migrations/0005.py.orig": "",
            "app/migrations/0006.more.py": "",
            "app/migrations/.hidden.py": "",
            "app/migrations/0007.py~": "",
        },
        ["0001"],
    ),
}


@pytest.mark.parametrize(("files", "expected"), FILES.values(), ids=FILES)
def test_names_are_those_that_django_finds(
    install: Install, files: dict[str, str], expected: list[str]
) -> None:
    with install(files) as app_config:
        assert our_names(app_config) == expected
        assert django_names(app_config) == expected


@pytest.mark.parametrize(("files", "expected"), FILES.values(), ids=FILES)
def test_an_app_has_the_migrations_that_django_finds(
    install: Install, files: dict[str, str], expected: list[str]
) -> None:
    candidates = {"0001", "0003", "0004", "0006", "x", "_helpers", "~0002", "__init__"}
    with install(files) as app_config:
        found = {name for name in candidates if has_migration(app_config, name)}
        assert found == candidates & set(expected)


def test_folder_tells_app_and_package(install: Install) -> None:
    with install(INIT | {"app/migrations/0001.py": MIGRATION}) as app_config:
        folder = migration_folder(app_config)
        assert folder
        assert folder.app_label == app_config.label
        assert folder.package == f"{app_config.name}.migrations"


ELSEWHERE = {
    **INIT,
    "app/migrations/0001.py": MIGRATION,
    "app/elsewhere/__init__.py": "",
    "app/elsewhere/0009.py": MIGRATION,
}


def test_folder_is_where_the_settings_say(install: Install) -> None:
    with install(ELSEWHERE, module="app.elsewhere") as app_config:
        assert our_names(app_config) == django_names(app_config) == ["0009"]
        assert not has_migration(app_config, "0001")


def test_folder_is_where_the_settings_say_later(install: Install) -> None:
    with install(ELSEWHERE) as app_config:
        later = lazystr(f"{app_config.name}.elsewhere")
        with override_settings(MIGRATION_MODULES={app_config.label: later}):
            assert our_names(app_config) == django_names(app_config) == ["0009"]


def test_no_folder_where_the_settings_disable_migrations(install: Install) -> None:
    files = INIT | {"app/migrations/0001.py": MIGRATION}
    with install(files, module=None) as app_config:
        assert our_names(app_config) == django_names(app_config) == []
        assert not has_migration(app_config, "0001")


@pytest.mark.parametrize("module", ["app.elsewhere", "app.nowhere.elsewhere"])
def test_no_folder_where_the_settings_name_none(install: Install, module: str) -> None:
    # Django's loader complains when a command needs it.
    with install(INIT, module=module) as app_config:
        assert our_names(app_config) == []
        with pytest.raises(ModuleNotFoundError):
            django_names(app_config)


@pytest.mark.parametrize("text", ["1 / 0", "import syzygy_is_missing"])
def test_a_folder_in_a_package_that_can_not_be_imported(
    install: Install, text: str
) -> None:
    files = {"app/broken/__init__.py": text, "app/broken/deep/__init__.py": ""}
    with install(files, module="app.broken.deep") as app_config:
        wrong = f'migrations of the app "{app_config.label}" can\'t be found'
        with pytest.raises(BadMigrationError, match=wrong):
            migration_folder(app_config)


def test_migrations_without_sources(install: Install) -> None:
    with install(INIT | {"app/migrations/0001.py": MIGRATION}) as app_config:
        source = Path(app_config.path, "migrations", "0001.py")
        py_compile.compile(str(source), str(source.with_suffix(".pyc")))
        source.unlink()
        importlib.invalidate_caches()
        assert our_names(app_config) == django_names(app_config) == ["0001"]
        assert has_migration(app_config, "0001")
        folder = migration_folder(app_config)
        assert folder
        assert folder.may_mention("0001", ["anything"])


def test_migrations_in_an_archive(tmp_path: Path) -> None:
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("syzygy_zipped/__init__.py", "")
        file.writestr("syzygy_zipped/migrations/__init__.py", "")
        file.writestr("syzygy_zipped/migrations/0001.py", MIGRATION)
        file.writestr("syzygy_zipped/migrations/0002/__init__.py", "")
    sys.path.insert(0, str(archive))
    try:
        with override_settings(INSTALLED_APPS=["syzygy_zipped"]):
            app_config = apps.get_app_config("syzygy_zipped")
            assert our_names(app_config) == django_names(app_config) == ["0001"]
            assert has_migration(app_config, "0001")
            assert not has_migration(app_config, "0002")
            folder = migration_folder(app_config)
            assert folder
            assert folder.may_mention("0001", ["anything"])
            assert set(folder.load(["0001"])) == {("syzygy_zipped", "0001")}
    finally:
        sys.path.remove(str(archive))
        for name in [name for name in sys.modules if name.startswith("syzygy_zipped")]:
            del sys.modules[name]


# Importing


def test_only_what_is_named_is_imported(install: Install) -> None:
    files = {
        **INIT,
        "app/migrations/0001.py": MIGRATION,
        "app/migrations/0002.py": "raise ZeroDivisionError",
    }
    with install(files) as app_config:
        folder = migration_folder(app_config)
        assert folder
        assert set(folder.load(["0001"])) == {(app_config.label, "0001")}
        assert f"{app_config.name}.migrations.0002" not in sys.modules
        with pytest.raises(BadMigrationError, match=r'\.0002".* ZeroDivisionError'):
            folder.load(["0001", "0002"])


@pytest.mark.parametrize("text", ["", "Migration = None", "class Migration: pass"])
def test_a_module_without_a_migration_is_named(install: Install, text: str) -> None:
    with install(INIT | {"app/migrations/0001.py": text}) as app_config:
        folder = migration_folder(app_config)
        assert folder
        with pytest.raises(
            BadMigrationError, match=f'"{app_config.label}.0001" has no'
        ):
            folder.load(folder.names)


def attribute(text: str) -> dict[str, str]:
    """Return the files of an app whose migration has an attribute, as it is written."""
    body = f"from django.db import migrations\nclass Migration({MIGRATION_CLASS}):\n"
    return INIT | {"app/migrations/0001.py": f"{body}    {text}\n"}


@pytest.mark.parametrize(
    "text",
    [
        'dependencies = [("a", "0001")]',
        'dependencies = (("a", "0001"), ("b", "__first__"))',
        'dependencies = {("a", "0001")}',
        'dependencies = [migrations.swappable_dependency("auth.User")]',
        'run_before = [("a", "0001")]',
        'replaces = [("a", "0001")]',
        "operations = [migrations.RunSQL('SELECT 1')]",
        "operations = ()",
        "operations = [__import__('unittest.mock', fromlist=['x']).Mock()]",
        "initial = True",
    ],
)
def test_what_django_accepts_is_sound(install: Install, text: str) -> None:
    with install(attribute(text)) as app_config:
        folder = migration_folder(app_config)
        assert folder
        [(key, written)] = folder.load(folder.names).items()
        assert key == (app_config.label, "0001")
        migration = written.instance()
        assert isinstance(migration, Migration)
        assert str(migration) == str(written) == f"{app_config.label}.0001"


def test_what_only_an_instance_says_is_heeded(install: Install) -> None:
    text = (
        "__init__ = lambda self, *names: vars(self).update("
        "name=names[0], app_label=names[1], operations=[migrations.RunSQL('SELECT 1')])"
    )
    with install(attribute(text)) as app_config:
        folder = migration_folder(app_config)
        assert folder
        [written] = folder.load(folder.names).values()
        assert [type(each) for each in written.operations] == [operations.RunSQL]
    with install(attribute("__init__ = lambda self, *names: 1 / 0")) as app_config:
        folder = migration_folder(app_config)
        assert folder
        with pytest.raises(BadMigrationError, match=r'\.0001".* ZeroDivisionError'):
            folder.load(folder.names)


@pytest.mark.parametrize(
    "text",
    [
        'dependencies = ["a.0001"]',
        'dependencies = ("a", "0001")',
        'dependencies = [("a", "0001", "x")]',
        "dependencies = None",
        'run_before = ["0002"]',
        'replaces = "0002"',
        "operations = None",
        "operations = [migrations.RunSQL]",
        'operations = ["SELECT 1"]',
    ],
)
def test_what_is_not_sound_is_named(install: Install, text: str) -> None:
    with install(attribute(text)) as app_config:
        folder = migration_folder(app_config)
        assert folder
        name = text.split(" ", maxsplit=1)[0]
        wrong = f'"{app_config.label}.0001" has something wrong with its "{name}"'
        with pytest.raises(BadMigrationError, match=wrong):
            folder.load(folder.names)


@pytest.mark.parametrize(
    ("word", "expected"),
    [("slug", True), ("title", True), ("slu", False), ("body", False), ("é", True)],
)
def test_what_a_source_may_mention(install: Install, word: str, expected: bool) -> None:
    text = "X = ['slug', \"title\", 'é']  # body\n"
    with install(INIT | {"app/migrations/0001.py": text}) as app_config:
        folder = migration_folder(app_config)
        assert folder
        assert folder.may_mention("0001", [word]) == expected
        assert folder.may_mention("0001", ["no", word]) == expected
        assert not folder.may_mention("0001", [])


def test_a_package_that_says_that_migrations_lie_elsewhere(install: Install) -> None:
    text = "__path__.append(__path__[0].removesuffix('migrations') + 'more')"
    files = {
        "app/migrations/__init__.py": text,
        "app/migrations/0001.py": MIGRATION,
        "app/more/0002.py": MIGRATION,
    }
    with install(files) as app_config:
        for _ in "before", "after":
            folder = migration_folder(app_config)
            assert folder
            assert folder.names == ("0001", "0002")
            assert has_migration(app_config, "0002")
            MigrationLoader(None)


def test_a_source_in_an_unknown_encoding_is_not_known(install: Install) -> None:
    text = "# coding: latin-1\n# "
    with install(INIT | {"app/migrations/0001.py": text}) as app_config:
        folder = migration_folder(app_config)
        assert folder
        shadowed = Path(folder.locations[0], "more")
        shadowed.mkdir()
        (shadowed / "0001.py").write_text(MIGRATION)
        folder.locations = (*folder.locations, str(shadowed))
        assert folder.source("0001") == text
        Path(folder.locations[0], "0001.py").write_bytes(text.encode() + b"\xe4")
        assert folder.source("0001") is None
        assert folder.may_mention("0001", ["anything"])


# The history of a migration


def history(project: Project, names: str) -> list[str]:
    asked = [project[name] for name in names.split()]
    found = history_of({(each.app_label, each.name): each for each in asked})
    assert all(key == (each.app_label, each.name) for key, each in found.items())
    return list(map(str, found.values()))


def linear() -> Project:
    return Project(
        migration("a.0001", create("Old")),
        migration("a.0002", needs="a.0001 b.0001"),
        migration("a.0003", needs="a.0002"),
        migration("a.0004", needs="a.0003"),
        migration("b.0001"),
        migration("b.0002", needs="b.0001 a.0003"),
        migration("c.0001", needs="a.0003"),
        unmigrated="u",
    )


@pytest.mark.parametrize(
    "asked",
    [
        "a.0001",
        "a.0002",
        "a.0004",
        "a.0003 a.0004",
        "a.0004 a.0003",
        "a.0002 a.0004",
        "b.0002 a.0003",
        "c.0001",
    ],
)
def test_history_has_all_in_order_and_first_what_leads_to_those_asked_for(
    tmp_path: Path, asked: str
) -> None:
    with linear().installed(tmp_path) as project:
        order = history(project, asked)
        assert sorted(order) == sorted(map(str, project.migrations))
        graph = project.executor().loader.graph
        needed = set()
        for name in order:
            label, _, number = name.partition(".")
            plan = [".".join(each) for each in graph.forwards_plan((label, number))]
            assert set(plan) <= set(order[: order.index(name) + 1])
            needed |= set(plan) if name in asked.split() else set()
        assert set(order[: len(needed)]) == needed


def test_history_has_those_asked_for_and_instances_of_the_others(
    tmp_path: Path,
) -> None:
    with linear().installed(tmp_path) as project:
        asked = project["a.0004"]
        found = history_of({("a", "0004"): asked})
        assert found["a", "0004"] is asked
        for each in found.values():
            assert isinstance(each, Migration)
            assert each == project[str(each)]
            assert each.operations == project[str(each)].operations


def test_replaced_migrations_whose_files_are_left(tmp_path: Path) -> None:
    project = Project(
        migration("a.0001"),
        migration("a.0003"),
        migration("a.inner", replaces="a.0001 a.0002"),
        migration("a.outer", replaces="a.inner b.0001 gone.0001"),
        migration("b.s", replaces="b.0001"),
        migration("b.0001"),
    )
    with project.installed(tmp_path):
        for name, replaced in {
            "a.outer": ["a.inner", "a.0001", "b.0001"],
            "a.inner": ["a.0001"],
            "a.0001": [],
        }.items():
            found = replaced_by({key(name): project[name]})
            assert {key: each.migration_class for key, each in found.items()} == {
                key(each): type(project[each]) for each in replaced
            }


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(migration("a.0002", needs="a.0001"), id="looks like one on disk"),
        pytest.param(migration("a.0099", needs="a.0001"), id="isn't on disk"),
        pytest.param(migration("x.0001"), id="isn't installed"),
        pytest.param(migration("u.0001"), id="has no migrations"),
    ],
)
def test_no_history_of_what_is_not_on_disk(tmp_path: Path, other: Migration) -> None:
    with linear().installed(tmp_path) as project:
        key = (other.app_label, other.name)
        assert history_of({key: other}) == {}
        assert history_of({key: other, ("a", "0003"): project["a.0003"]}) == {}


@pytest.mark.parametrize(
    ("asked", "is_squashed"),
    [
        ("a.0003", True),
        ("b.0002", True),
        ("a.0003 b.0002", True),
        ("a.0001_squashed", True),
        ("a.0002_widen", False),
        ("a.0002_widen a.0003", False),
    ],
)
def test_history_has_a_squashed_migration_or_those_that_it_replaces(
    tmp_path: Path, asked: str, is_squashed: bool
) -> None:
    project = Project(
        migration("a.0001_initial", create("Old", "f")),
        migration("a.0002_widen", widen("Old", "f"), needs="a.0001_initial"),
        migration(
            "a.0001_squashed", create("Old"), replaces="a.0001_initial a.0002_widen"
        ),
        migration("b.0001", create("Other"), needs="a.0001_initial"),
        migration("b.0002", needs="b.0001"),
        migration("a.0003", add("Old", "g"), needs="a.0001_squashed b.0001"),
    )
    squashed, replaced = {"a.0001_squashed"}, {"a.0001_initial", "a.0002_widen"}
    with project.installed(tmp_path):
        found = set(history(project, asked)) & (squashed | replaced)
        assert found == (squashed if is_squashed else replaced)


def renaming() -> operations.RenameModel:
    return operations.RenameModel("Old", "New")


class Wrapper(Opaque):
    """A third party's, with an attribute that another kind has, too."""

    state_operations = None


def alter(field: models.Field[Any, Any]) -> operations.AlterField:
    return operations.AlterField("Old", "f", field)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], False),
        ([options("Old")], False),
        ([options("Old"), renaming()], True),
        ([operations.SeparateDatabaseAndState([], [renaming()])], True),
        ([operations.SeparateDatabaseAndState([renaming()], [])], True),
        ([operations.RunSQL("SELECT 1", state_operations=[renaming()])], True),
        ([operations.RunSQL("SELECT 1")], False),
        ([alter(models.CharField(max_length=9))], False),
        ([alter(models.ForeignKey("b.Other", models.CASCADE))], True),
        ([alter(models.ManyToManyField("b.Other"))], True),
        ([Wrapper()], False),
    ],
)
def test_which_migrations_concern_other_apps(body: list[Any], expected: bool) -> None:
    found = concerns_other_apps([migration("a.0001"), migration("a.0002", *body)])
    assert found == expected
    assert not concerns_other_apps([])


# The garbage collector


@pytest.fixture
def collecting() -> Iterator[None]:
    """Have nothing frozen, and leave the collector as it was."""
    was_enabled, was_frozen = gc.isenabled(), gc.get_freeze_count() > 0
    # What the tests have frozen themselves (see conftest.py).
    gc.unfreeze()
    yield
    gc.unfreeze()
    if was_frozen:
        gc.collect()
        gc.freeze()
    (gc.enable if was_enabled else gc.disable)()


@pytest.mark.usefixtures("collecting")
@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_off_meanwhile_and_then_as_it_was(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()

    def fail() -> None:
        with without_garbage_collection():
            assert not gc.isenabled()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert gc.isenabled() is enabled


@pytest.fixture
def bring(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[Any]]:
    """Have modules appear, and an object along with them."""

    def bring(number: int) -> list[Any]:
        for position in range(number):
            name = f"syzygy_brought_{position}"
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        return [[]]

    return bring


@pytest.mark.usefixtures("collecting")
@pytest.mark.parametrize(("number", "expected"), [(99, False), (100, True)])
def test_what_comes_with_many_modules_is_old(
    bring: Callable[[int], list[Any]], number: int, expected: bool
) -> None:
    gc.disable()
    with without_garbage_collection():
        new = bring(number)
    assert any(each is new for each in gc.get_objects(2)) is expected
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("collecting")
def test_what_is_frozen_remains_frozen(bring: Callable[[int], list[Any]]) -> None:
    gc.disable()
    gc.freeze()
    frozen = gc.get_freeze_count()
    with without_garbage_collection():
        new = bring(100)
    # Some of it may have been freed.
    assert 0 < gc.get_freeze_count() <= frozen
    assert not any(each is new for each in gc.get_objects(2))


@pytest.mark.usefixtures("collecting")
def test_an_interpreter_that_freezes_nothing(
    monkeypatch: pytest.MonkeyPatch, bring: Callable[[int], list[Any]]
) -> None:
    gc.disable()
    with monkeypatch.context() as patch:
        for name in ("freeze", "unfreeze", "get_freeze_count"):
            patch.delattr(gc, name)
        with without_garbage_collection():
            new = bring(100)
    assert not any(each is new for each in gc.get_objects(2))


@pytest.mark.usefixtures("collecting")
def test_it_is_off_while_django_loads_migrations() -> None:
    gc.enable()
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()


# Importing ahead of Django


def test_migrations_are_imported_ahead(install: Install) -> None:
    text = f"{MIGRATION}import gc\nwas_enabled = gc.isenabled()\n"
    with install({**INIT, "app/migrations/0001_right.py": text}) as app_config:
        import_ahead()
        module = sys.modules[f"{app_config.name}.migrations.0001_right"]
        assert not module.was_enabled
    with (
        install({**INIT, "app/migrations/0001_wrong.py": "1 / 0\n"}),
        pytest.raises(BadMigrationError, match="0001_wrong"),
    ):
        import_ahead()


@pytest.mark.parametrize("text", ["1 / 0", "import syzygy_is_missing"])
def test_migrations_that_can_not_be_found_are_left_to_django(
    install: Install, text: str
) -> None:
    files = {"app/broken/__init__.py": text, "app/broken/deep/__init__.py": ""}
    with install(files, module="app.broken.deep"):
        import_ahead()
