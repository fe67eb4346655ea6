"""A back-fill fills what needs it, in batches, whatever happens meanwhile."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, connection, models, transaction
from django.db.migrations import AddField, AlterField, CreateModel
from django.db.migrations.optimizer import MigrationOptimizer
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter
from django.db.models import F, Q, Value
from django.db.models.functions import Lower
from django.test import override_settings

from syzygy import Stage
from syzygy.exceptions import BackfillError
from syzygy.operations import Backfill
from syzygy.plan import get_migration_stage, get_operation_stage
from syzygy.progress import Progress, duration, telling
from syzygy.rules import BACKFILL
from tests.command_helpers import Project, source
from tests.rehearsal_helpers import Deployed, Told, auto, rehearsed
from tests.rehearsal_helpers import codes as codes_of
from tests.rules_helpers import judged, migration, model
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

APP = "library"
TRANSACTIONAL_DDL = UNDER_TEST != "mariadb"


def text() -> Any:
    return models.CharField(max_length=40, null=True)


AUTHOR = CreateModel("Author", [("id", models.BigAutoField(primary_key=True))])
BOOK = CreateModel(
    "Book",
    [
        ("id", models.BigAutoField(primary_key=True)),
        ("title", models.CharField(max_length=40)),
        ("code", text()),
        ("key", models.UUIDField(null=True, unique=True)),
        ("labels", models.JSONField(null=True)),
        ("author", models.ForeignKey(f"{APP}.author", models.CASCADE, null=True)),
    ],
)
COPY = CreateModel(
    "Copy",
    [("id", models.UUIDField(primary_key=True, default=uuid.uuid4)), ("code", text())],
)
SHELF = CreateModel(
    "Shelf",
    [
        ("pk", models.CompositePrimaryKey("room", "number")),
        ("room", models.IntegerField()),
        ("number", models.CharField(max_length=9)),
        ("code", text()),
    ],
)


# One that has the rows of the book, and one whose table is somebody else's.
PAPERBACK = CreateModel("Paperback", [], {"proxy": True}, (f"{APP}.book",))
VIEW = CreateModel("View", [("code", text())], {"managed": False})


class Library:
    """Tables in the database, and the models of a migration's state."""

    def __init__(self, state: ProjectState) -> None:
        self.state = state
        self.batches: list[int] = []

    def model(self, name: str) -> Any:
        return self.state.apps.get_model(APP, name)

    def fill(
        self,
        *args: Any,
        model_name: str = "book",
        backward: bool = False,
        atomic: bool = False,
        **kwargs: Any,
    ) -> None:
        operation = Backfill(model_name, *args, **kwargs)
        run = operation.database_backwards if backward else operation.database_forwards
        with connection.schema_editor(atomic=atomic) as editor:
            run(APP, editor, self.state, self.state)

    def books(self, *titles: str, **values: Any) -> list[Any]:
        book = self.model("book")
        return [book.objects.create(title=title, **values) for title in titles]

    def values(self, name: str, model_name: str = "book") -> list[Any]:
        return list(
            self.model(model_name).objects.order_by("pk").values_list(name, flat=True)
        )


@pytest.fixture
def library(transactional_db: None) -> Iterator[Library]:
    state = ProjectState()
    for operation in (AUTHOR, BOOK, COPY, SHELF, PAPERBACK, VIEW):
        operation.state_forwards(APP, state)
    tables = [m for m in state.apps.get_models() if m._meta.can_migrate(connection)]
    with connection.schema_editor() as editor:
        for each in tables:
            editor.create_model(each)
    yield Library(state)
    with connection.schema_editor() as editor:
        for each in reversed(tables):
            editor.delete_model(each)


def shout(row: Any) -> str:
    return f"{row.title}!"


# What it gives the rows


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"value": "x"}, ["x", "x", "x"]),
        ({"value": ""}, ["", "", ""]),
        ({"value": F("title")}, ["A", "B", "C"]),
        ({"value": Lower("title")}, ["a", "b", "c"]),
        ({"value": Value("y")}, ["y", "y", "y"]),
        ({"from_row": shout}, ["A!", "B!", "C!"]),
        ({"update": lambda rows: rows.update(code="z")}, ["z", "z", "z"]),
    ],
    ids=lambda value: "",
)
def test_it_fills_the_rows_in_which_the_field_is_null(
    library: Library, how: dict[str, Any], expected: list[str]
) -> None:
    library.books("A", "B", "C")
    library.books("D", code="kept")
    library.fill("code", batch_size=2, **how)
    assert library.values("code") == [*expected, "kept"]


def test_a_function_is_called_for_each_row(library: Library) -> None:
    library.books("A", "B", "C")
    library.fill("key", uuid.uuid4)
    assert len({*library.values("key")}) == 3

    library.fill("labels", dict)
    assert library.values("labels") == [{}, {}, {}]


def test_a_relation_is_filled_with_a_key_or_a_row(library: Library) -> None:
    author = library.model("author").objects.create()
    for how in ({"value": author.pk}, {"from_row": lambda row: author.pk}):
        library.books("A")
        library.fill("author", **how)
    library.books("A")
    library.fill("author", from_row=lambda row: author)
    assert library.values("author_id") == [author.pk] * 3


def test_it_fills_the_rows_of_a_condition(library: Library) -> None:
    library.books("A", "B", code="")
    library.books("C", code="kept")
    library.books("D")
    library.fill("code", F("title"), where=Q(code=""))
    assert library.values("code") == ["A", "B", "kept", None]

    author = library.model("author").objects.create()
    library.books("E", author=author)
    library.fill("code", from_row=shout, where=Q(code=None, author__id=author.pk))
    assert library.values("code") == ["A", "B", "kept", None, "E!"]


@pytest.mark.parametrize("how", [{"value": "x"}, {"from_row": lambda row: "x"}])
def test_any_primary_key_will_do(library: Library, how: dict[str, Any]) -> None:
    copy, shelf = library.model("copy"), library.model("shelf")
    copy.objects.bulk_create(copy() for _ in range(5))
    shelf.objects.bulk_create(
        shelf(room=number % 3, number=str(number)) for number in range(7)
    )
    shelf.objects.create(room=0, number="1", code="kept")
    for name in ("copy", "shelf"):
        library.fill("code", model_name=name, batch_size=2, **how)
    assert library.values("code", "copy") == ["x"] * 5
    assert sorted(library.values("code", "shelf")) == ["kept"] + ["x"] * 7


def test_a_table_without_rows_is_filled_in_silence(library: Library) -> None:
    told: list[str] = []
    with telling(told.append):
        library.fill("code", "x")
    assert not told


@pytest.mark.parametrize(
    "how", [{"value": "x"}, {"value": lambda: "x"}, {"from_row": lambda row: "x"}]
)
def test_a_proxy_is_filled_as_what_is_behind_it(
    library: Library, how: dict[str, Any]
) -> None:
    library.books(*"AB")
    library.fill("code", model_name="paperback", **how)
    assert library.values("code") == ["x", "x"]
    library.fill(
        "code", "x", model_name="Paperback", reverse=clear_codes, backward=True
    )
    assert library.values("code") == [None, None]


def clear_codes(rows: Any) -> None:
    rows.update(code=None)


# Batches and transactions


def sizes(batches: list[int]) -> Callable[[Any], None]:
    def update(rows: Any) -> None:
        assert connection.in_atomic_block
        batches.append(rows.update(code="x"))

    return update


def test_a_batch_is_a_transaction_of_its_own(library: Library) -> None:
    library.books(*"ABCDE")
    library.fill("code", update=sizes(library.batches), batch_size=2)
    assert library.batches == [2, 2, 1]

    library.batches.clear()
    library.books(*"FG")
    fails = [False, True]

    def give(row: Any) -> str:
        if fails.pop(0):
            raise LookupError
        return "y"

    with pytest.raises(LookupError):
        library.fill("code", from_row=give, batch_size=1)
    assert library.values("code") == ["x"] * 5 + ["y", None]
    assert not connection.in_atomic_block


@pytest.mark.skipif(not TRANSACTIONAL_DDL, reason="There a migration runs in none.")
def test_it_refuses_to_run_in_the_transaction_of_its_migration(
    library: Library,
) -> None:
    with pytest.raises(BackfillError, match=r'"book\.code".* "atomic = False"'):
        library.fill("code", "x", atomic=True)


def test_it_waits_between_batches(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("syzygy.filling.time.sleep", waited.append)
    library.books(*"ABC")
    library.fill("code", "x", batch_size=1, pause=0.5)
    assert waited == [0.5] * 3


def test_rows_that_come_meanwhile_are_filled(library: Library) -> None:
    copy = library.model("copy")
    copy.objects.create(pk=uuid.UUID(int=5))
    coming = [uuid.UUID(int=9), uuid.UUID(int=1)]

    def update(rows: Any) -> None:
        rows.update(code="x")
        if coming:
            copy.objects.create(pk=coming.pop())

    library.fill("code", model_name="copy", update=update, batch_size=1)
    assert library.values("code", "copy") == ["x"] * 3


def test_rows_that_keep_coming_end_it(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syzygy.filling.PASSES", 3)
    copy = library.model("copy")
    numbers = iter(range(9, 0, -1))

    def update(rows: Any) -> None:
        rows.update(code="x")
        copy.objects.create(pk=uuid.UUID(int=next(numbers)))

    copy.objects.create(pk=uuid.UUID(int=10))
    with pytest.raises(BackfillError, match=r'"copy\.code" keep coming'):
        library.fill("code", model_name="copy", update=update)
    assert library.values("code", "copy") == [None, "x", "x", "x"]


@pytest.mark.parametrize(
    "how",
    [
        {"value": None},
        {"value": F("code")},
        {"from_row": lambda row: row.code},
        {"update": lambda rows: None},
    ],
    ids=["none", "expression", "row", "update"],
)
def test_a_value_that_leaves_a_row_as_it_is_ends_it(
    library: Library, how: dict[str, Any]
) -> None:
    library.books(*"AB")
    with pytest.raises(BackfillError, match=r'2 rows still need a value for "book'):
        library.fill("code", **how)


def test_what_was_filled_before_a_bad_value_stays(library: Library) -> None:
    library.books(*"AB")
    values = {"A": "x", "B": None}
    with pytest.raises(BackfillError, match="1 row still needs"):
        library.fill("code", from_row=lambda row: values[row.title], batch_size=1)
    assert library.values("code") == ["x", None]


# Backward


def test_undone_it_leaves_the_values_there(library: Library) -> None:
    library.books(*"AB", code="x")
    library.fill("code", "x", backward=True)
    assert library.values("code") == ["x", "x"]


def test_undone_it_calls_what_is_given(library: Library) -> None:
    library.books(*"ABC", code="x")

    def clear(rows: Any) -> None:
        library.batches.append(rows.update(code=None))

    library.fill("code", "x", reverse=clear, batch_size=2, backward=True)
    assert library.values("code") == [None] * 3
    assert library.batches == [2, 1]


# Databases


class Elsewhere:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db != DEFAULT_DB_ALIAS


def test_a_router_keeps_it_from_a_database(library: Library) -> None:
    library.books("A")
    with override_settings(DATABASE_ROUTERS=[Elsewhere()]):
        library.fill("code", "x")
        library.fill("code", "x", reverse=sizes([]), backward=True)
    assert library.values("code") == [None]


class Behind:
    """Knows the model that has the table."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return hints.get("model_name") != "book"


def test_a_router_is_asked_about_the_model_behind_a_proxy(library: Library) -> None:
    library.books("A")
    with override_settings(DATABASE_ROUTERS=[Behind()]):
        library.fill("code", "x", model_name="paperback")
    assert library.values("code") == [None]


def test_an_unmanaged_model_is_refused_rather_than_left_as_it_is(
    library: Library,
) -> None:
    with pytest.raises(
        BackfillError, match=r'"view\.code" .* "library\.View" is unmanaged'
    ):
        library.fill("code", "x", model_name="view")
    with override_settings(DATABASE_ROUTERS=[Elsewhere()]):
        library.fill("code", "x", model_name="view")


def test_what_is_swapped_out_has_nothing_to_fill(library: Library) -> None:
    swappable = CreateModel("Owner", [("code", text())], {"swappable": "OWNER_MODEL"})
    with override_settings(OWNER_MODEL=f"{APP}.author"):
        swappable.state_forwards(APP, library.state)
        library.fill("code", "x", model_name="owner")


# In files


def written(*operations: Backfill) -> Sequence[Any]:
    """The operations as they come back from a file."""
    text = MigrationWriter(migration("0002_fill", *operations)).as_string()
    assert "syzygy.operations.Backfill(" in text
    names: dict[str, Any] = {}
    exec(text, names)
    loaded: Sequence[Any] = names["Migration"].operations
    return loaded


def arguments(operation: Backfill) -> dict[str, Any]:
    return {k: v for k, v in vars(operation).items() if k != "_constructor_args"}


def update_codes(rows: Any) -> None:
    rows.update(code="x")


def test_it_comes_back_from_a_file() -> None:
    for each in (
        Backfill("Book", "code", uuid.uuid4),
        Backfill("book", "code", Lower(F("title")), pause=0.5),
        Backfill("book", "code", from_row=shout, batch_size=7, elidable=True),
        Backfill(
            "book",
            "code",
            update=update_codes,
            where=Q(code="") | Q(code=None),
            reverse=update_codes,
            stage=Stage.PRE_DEPLOY,
        ),
    ):
        (loaded,) = written(each)
        assert arguments(loaded) == arguments(each)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"value": 1, "update": print},
        {"from_row": str, "update": print},
        {"value": 1, "batch_size": 0},
        {"value": 1, "pause": -1},
    ],
    ids=str,
)
def test_it_refuses_arguments_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r'The back-fill of "book\.code" needs'):
        Backfill("Book", "code", **wrong)


def test_the_optimizer_moves_nothing_past_it() -> None:
    operations = [
        AddField("book", "code", models.IntegerField(null=True)),
        Backfill("book", "code", 1),
        AlterField("book", "code", models.IntegerField()),
    ]
    assert MigrationOptimizer().optimize(operations, APP) == operations
    operations[1] = Backfill("book", "code", 1, elidable=True)
    assert len(MigrationOptimizer().optimize(operations, APP)) == 1


def test_a_migration_of_it_has_a_name() -> None:
    fill = Backfill("Book", "code", 1)
    assert migration("0002", fill).suggest_name() == "fill_book_code"
    assert fill.describe() == "Fill field code on Book"


# Stages


def test_its_stage_is_after_the_rollout_unless_it_declares_another() -> None:
    fill = Backfill("post", "title", "x")
    post = model("Post", title=text())
    assert judged(fill, post) == {BACKFILL.code}
    assert judged(fill, new=[post]) == {"unseen"}
    unmanaged = model("Post", (), {"managed": False}, title=text())
    assert judged(fill, unmanaged) == {"state-only"}
    proxied = Backfill("note", "title", "x")
    note = CreateModel("Note", [], {"proxy": True}, ("blog.post",))
    assert judged(proxied, post, note) == {BACKFILL.code}
    assert judged(proxied, post, new=[note]) == {BACKFILL.code}
    assert judged(proxied, new=[post, note]) == {"unseen"}
    assert get_operation_stage(fill) is Stage.POST_DEPLOY

    early = Backfill("post", "title", "x", stage=Stage.PRE_DEPLOY)
    assert get_migration_stage(migration("0002", early)) is Stage.PRE_DEPLOY


@dataclass(frozen=True)
class Batched(Deployed):
    """A migration without a transaction."""

    @property
    def attributes(self) -> dict[str, Any]:
        return super().attributes | {"atomic": False}


NUMBERED = [AddField("post", "number", models.IntegerField(null=True))]
TIGHTENED = [AlterField("post", "number", models.IntegerField())]


def test_it_makes_way_for_not_null_after_the_rollout(project: Project) -> None:
    fill = Batched((Backfill("post", "number", 1),))
    steps = auto(*NUMBERED), fill, auto(*TIGHTENED)
    Told(rehearsed(project, [model("Post")], *steps, revert=True)).no_breaks(
        ["set-not-null"]
    )


def test_through_a_proxy_it_does_so_as_well(project: Project) -> None:
    before = [model("Post"), CreateModel("Note", [], {"proxy": True}, ("blog.post",))]
    fill = Batched((Backfill("note", "number", 1),))
    steps = auto(*NUMBERED), fill, auto(*TIGHTENED)
    Told(rehearsed(project, before, *steps)).no_breaks(["set-not-null"], ["Note"])


def test_through_a_proxy_the_table_behind_it_is_probed(project: Project) -> None:
    note = CreateModel("Note", [], {"proxy": True}, ("blog.post",))
    fill = Batched((Backfill("note", "number", 1),))
    rehearsal = rehearsed(project, [model("Post"), note, *NUMBERED], fill)
    assert {moment.models for moment in rehearsal.moments} == {1, 2}


def test_before_the_rollout_it_does_not(project: Project) -> None:
    """The running release goes on to write rows that need the value."""
    fill = Batched((Backfill("post", "number", 1, stage=Stage.PRE_DEPLOY),))
    steps = auto(*NUMBERED), fill, auto(*TIGHTENED)
    rehearsal = rehearsed(project, [model("Post")], *steps)
    assert codes_of(rehearsal.findings) >= {"set-not-null"}
    assert not rehearsal.complete


# Telling people


def test_it_tells_how_far_it_is() -> None:
    told: list[str] = []
    times = iter([0, 1, 4, 6, 7, 12, 90, 90])
    progress = Progress("book.code", 10_000, told.append, clock=times.__next__)
    for _ in range(6):
        progress.advance(2_000)
    progress.finish()
    assert told == [
        "",
        "    book.code: 6,000 of 10,000 rows, 1,000 a second, 4 s left",
        "    book.code: 10,000 of 10,000 rows, 833 a second, 0 s left",
        "    book.code: 12,000 of 12,000 rows, 133 a second, 0 s left",
        "    book.code: 12,000 rows in 1 min 30 s",
    ]
    assert duration(2 * 3600 + 59) == "2 h 0 min"


# Commands

CREATE = (
    "m.CreateModel('Book', ["
    '("id", models.BigAutoField(primary_key=True)), '
    '("code", models.CharField(max_length=40, null=True))])'
)
FILL = '__import__("syzygy.operations").operations.Backfill("book", "code", {})'


def rows_of(project: Project, count: int) -> None:
    """Have a table with as many rows that need a value."""
    project.app("library", {"0001_initial": source(CREATE)})
    project.call("migrate", verbosity=0)
    with connection.cursor() as cursor:
        for _ in range(count):
            cursor.execute("INSERT INTO library_book (code) VALUES (NULL)")


def codes() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT code FROM library_book ORDER BY id")
        return [code for (code,) in cursor.fetchall()]


def test_migrate_tells_of_it(project: Project) -> None:
    rows_of(project, 3)
    project.migrations(
        "library", {"0002_fill": source(FILL.format('"x"'), atomic="False")}
    )
    sql = project.call("sqlmigrate", "library", "0002")
    assert "-- Fill field code on book" in sql
    assert "CANNOT BE WRITTEN AS SQL" in sql
    output = project.call("migrate")
    assert (
        "  Applying library.0002_fill...\n    book.code: 3 rows in 0 s\n OK\n" in output
    )
    assert codes() == ["x"] * 3

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE library_book SET code = NULL")
    project.call("migrate", "library", "0001", verbosity=0)
    assert not project.call("migrate", verbosity=0)
    assert codes() == ["x"] * 3


@pytest.mark.skipif(not TRANSACTIONAL_DDL, reason="There a migration runs in none.")
def test_migrate_says_what_to_do_in_one_line(project: Project) -> None:
    rows_of(project, 1)
    project.migrations("library", {"0002_fill": source(FILL.format('"x"'))})
    result = project.manage("migrate")
    assert result.returncode == 1, result.output
    assert result.stderr.count("\n") == 1
    assert '"atomic = False"' in result.stderr
    assert codes() == [None]


# The value is the process that gives it, which is killed at its fourth row.
DYING = """
import os, signal
from pathlib import Path

def give():
    calls = Path(__file__).with_name("calls")
    seen = calls.read_text() if calls.exists() else ""
    calls.write_text(seen + ".")
    if len(seen) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return str(os.getpid())
"""


def test_killed_it_goes_on_where_it_was(project: Project) -> None:
    rows_of(project, 6)
    project.write("giving.py", DYING)
    fill = FILL.format('__import__("giving").give, batch_size=2')
    project.migrations("library", {"0002_fill": source(fill, atomic="False")})

    killed = project.manage("migrate")
    assert killed.returncode == -9, killed.output
    connection.close()
    first = codes()
    assert first[0] == first[1]
    assert first[0]
    assert first[2:] == [None] * 4

    assert project.manage("migrate").returncode == 0
    second = codes()
    assert second[:2] == first[:2]
    assert len({*second[2:]}) == 1
    assert second[2] not in {first[0], None}
    assert project.applied()[-1] == "library.0002_fill"


def test_nobody_changes_a_row_while_its_value_is_computed(project: Project) -> None:
    """Else it would be made of what the row no longer is."""
    rows_of(project, 1)
    refused = []

    def run(rows: Any) -> None:
        other = connection.copy("other_session")
        if UNDER_TEST == "sqlite":
            other.settings_dict["OPTIONS"] = {"timeout": 0}
        with other.cursor() as cursor:
            if UNDER_TEST != "sqlite":
                cursor.execute(
                    "SET lock_timeout = '1ms'"
                    if UNDER_TEST == "postgresql"
                    else "SET innodb_lock_wait_timeout = 0"
                )
            try:
                cursor.execute("UPDATE library_book SET code = 'theirs'")
            except Exception as error:  # noqa: BLE001 - each driver has its own
                refused.append(error)
        other.close()
        rows.update(code="ours")

    state = ProjectState()
    CreateModel(
        "Book", [("id", models.BigAutoField(primary_key=True)), ("code", text())]
    ).state_forwards("library", state)
    with connection.schema_editor(atomic=False) as editor:
        Backfill("book", "code", update=run).database_forwards(
            "library", editor, state, state
        )
    assert len(refused) == 1
    assert codes() == ["ours"]
