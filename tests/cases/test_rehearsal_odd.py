"""Deployments that are odd, or that look harmless, rehearsed."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from django.contrib.postgres.operations import CreateCollation
from django.core.management.color import no_style
from django.db import connections, models
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterModelOptions,
    AlterUniqueTogether,
    CreateModel,
    DeleteModel,
    RemoveConstraint,
    RemoveField,
    RenameField,
    RenameModel,
    RunPython,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.db.models.functions import Lower, Mod
from django.db.models.lookups import Exact

from syzygy.rehearsal.attempts import Attempts
from syzygy.rehearsal.findings import Action, Phase, Probe
from syzygy.rehearsal.probes import Prober
from syzygy.rehearsal.run import Options, rehearse
from tests.cases.field_cases import AUTHOR, POST, text, to
from tests.command_helpers import Project
from tests.rehearsal_helpers import (
    BREAKS,
    HAZARD,
    Deployed,
    Told,
    auto,
    codes,
    of,
    post,
    pre,
    rehearsed,
    write,
)
from tests.rules_helpers import APP, model
from tests.services import UNDER_TEST

pytest_plugins = ["tests.command_fixtures"]

MORE = auto(AddField("post", "more", text(null=True)))


# Keys that somebody gives


def copy(apps: Any, schema_editor: Any) -> None:
    """Have authors with the keys of posts."""
    alias = schema_editor.connection.alias
    authors = apps.get_model("blog", "Author").objects.using(alias)
    first = authors.order_by("-pk").values_list("pk", flat=True).first() or 0
    for row in apps.get_model("blog", "Post").objects.using(alias).all():
        authors.create(pk=first + row.pk, name="copied")


def reset(apps: Any, schema_editor: Any) -> None:
    connection = connections[schema_editor.connection.alias]
    author = apps.get_model("blog", "Author")
    with connection.cursor() as cursor:
        for sql in connection.ops.sequence_reset_sql(no_style(), [author]):
            cursor.execute(sql)


COPY, RESET = RunPython(copy, RunPython.noop), RunPython(reset, RunPython.noop)


@pytest.mark.parametrize("is_new", [True, False], ids=["new table", "table in use"])
def test_sequence_that_is_left_behind(is_new: bool, project: Project) -> None:
    before, made = ([POST], [AUTHOR]) if is_new else ([POST, AUTHOR], [])
    steps = [pre(*made, COPY), pre(RunSQL("SELECT 1"))]
    told = Told(rehearsed(project, before, *steps))
    if UNDER_TEST != "postgresql":
        told.nothing()
        return
    (finding,) = told.rehearsal.findings
    assert finding.release == ("new" if is_new else "old"), told.text
    assert finding.model == "blog.Author", told.text
    assert "the sequence is at" in finding.error
    assert finding.actions == (Action.INSERT,)
    assert finding.culprit
    assert finding.culprit.operation is COPY, told.text
    assert "sqlsequencereset blog" in finding.way_out


@pytest.mark.parametrize("is_new", [True, False], ids=["new table", "table in use"])
def test_sequence_that_is_reset(is_new: bool, project: Project) -> None:
    before, made = ([POST], [AUTHOR]) if is_new else ([POST, AUTHOR], [])
    # In another migration it would come too late for who uses the table.
    steps = [pre(*made, COPY), pre(RESET)] if is_new else [pre(COPY, RESET)]
    Told(rehearsed(project, before, *steps)).nothing()


# Who is to blame


def test_what_refers_to_rows_that_go_along(project: Project) -> None:
    """Not what else the deployment does to what refers to the row."""
    before = [AUTHOR, model("Post", author=to("author"), title=text())]
    review = model("Review", post=to("post"))
    index = AddIndex("post", models.Index(fields=["title"], name="post_title"))
    told = Told(rehearsed(project, before, auto(index), auto(review)))
    assert {f.model for f in told.rehearsal.findings} == {"blog.Author", "blog.Post"}
    for finding in told.rehearsal.findings:
        assert finding.culprit
        assert finding.culprit.operation is review, told.text


BOOK = CreateModel(
    "Book",
    [
        (
            "author_ptr",
            models.OneToOneField(
                "blog.author", models.CASCADE, parent_link=True, primary_key=True
            ),
        ),
        ("title", text()),
    ],
    bases=("blog.author",),
)


def test_field_that_moves_to_a_parent(project: Project) -> None:
    """What is lost is lost with the column that goes, not with the new one."""
    gone = RemoveField("book", "title")
    added = AddField("author", "title", text(default=""))
    told = Told(rehearsed(project, [AUTHOR, BOOK], post(gone), post(added)))
    (lost,) = [f for f in told.rehearsal.findings if Action.KEEP in f.actions]
    assert lost.culprit
    assert lost.culprit.operation is gone, told.text
    assert "Copy the values" in lost.way_out


NUMBERED = model("Post", number=models.IntegerField(), title=text(), body=text())
UNIQUE = models.UniqueConstraint(fields=["number"], name="unique_number")


def test_upserts_leave_alone_what_cannot_be_written(project: Project) -> None:
    lower = models.GeneratedField(
        expression=Lower("title"), output_field=text(), db_persist=True, unique=True
    )
    line = model(
        "Line",
        pk=models.CompositePrimaryKey("number", "part"),
        number=models.IntegerField(),
        part=models.IntegerField(),
        title=text(unique=True),
        lower=lower,
        changed=models.DateTimeField(auto_now=True, unique=True),
    )
    Told(rehearsed(project, [POST], auto(line))).nothing()


def test_one_default_for_all_rows_that_have_to_differ(project: Project) -> None:
    add = AddField("post", "key", models.UUIDField(null=True))
    key = models.UUIDField(default=uuid.uuid4, unique=True)
    alter = AlterField("post", "key", key)
    told = Told(rehearsed(project, [POST], auto(add), auto(alter)))
    (failed,) = of(told.rehearsal, BREAKS)
    assert "one default into all rows" in failed.way_out, told.text


def test_what_the_state_alone_adds_is_to_blame(project: Project) -> None:
    """Not what comes with it and looks as if it did more."""
    lacking = stated(AddField("post", "left", to("author", null=True)))
    beside = AddField("post", "right", to("author", null=True, related_name="+"))
    told = Told(rehearsed(project, [AUTHOR, POST], auto(lacking, beside)))
    breaks = of(told.rehearsal, BREAKS)
    assert {f.culprit.operation for f in breaks if f.culprit} == {lacking}, told.text


def test_update_of_what_there_is(project: Project) -> None:
    """NULL may be filled; what a trigger forbids is to change a value."""
    if UNDER_TEST != "sqlite":
        pytest.skip("The trigger is written for SQLite.")
    trigger = RunSQL(
        "CREATE TRIGGER t BEFORE UPDATE ON blog_post WHEN OLD.more <> NEW.more "
        "BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    told = Told(rehearsed(project, [POST, *MORE.operations], pre(trigger)))
    assert {f.release for f in of(told.rehearsal, BREAKS)} == {"old", "new"}


@pytest.mark.parametrize(
    ("made", "dropped"),
    [
        (AddConstraint("post", UNIQUE), RemoveConstraint("post", "unique_number")),
        (
            AlterUniqueTogether("post", {("number", "title")}),
            AlterUniqueTogether("post", set()),
        ),
    ],
    ids=["constraint", "unique_together"],
)
def test_upsert_on_what_is_dropped(
    made: Operation, dropped: Operation, project: Project
) -> None:
    """Not what changes nothing in the database."""
    stated = AlterModelOptions("post", {"ordering": ["title"]})
    told = Told(rehearsed(project, [NUMBERED, made], pre(stated, dropped)))
    (finding,) = told.rehearsal.findings
    assert finding.actions == (Action.UPSERT,)
    assert finding.culprit
    assert finding.culprit.operation is dropped, told.text
    assert "number" in finding.field


def kind_of_post(apps: Any = None, schema_editor: Any = None) -> Any:
    """Return what the app makes when it is asked for it, and remembers."""
    from django.contrib.contenttypes.models import ContentType

    return ContentType.objects.get_for_model(ContentType)


def exchanged(deferrable: models.Deferrable) -> models.UniqueConstraint:
    return models.UniqueConstraint(
        fields=["number"], name="exchanged", deferrable=deferrable
    )


@pytest.mark.skipif(UNDER_TEST != "postgresql", reason="Nobody else can defer it.")
@pytest.mark.parametrize("deferrable", models.Deferrable)
def test_values_that_rows_exchange(
    deferrable: models.Deferrable, project: Project
) -> None:
    before = [NUMBERED, AddConstraint("post", exchanged(deferrable))]
    dropped = RemoveConstraint("post", "exchanged")
    made = AddConstraint("post", UNIQUE)
    told = Told(rehearsed(project, before, pre(dropped, made)))
    (finding,) = told.rehearsal.findings
    assert (finding.release, finding.actions) == ("old", (Action.UPDATE,)), told.text
    assert finding.severity is BREAKS
    assert finding.culprit
    assert finding.culprit.operation is made, told.text
    assert "Apply it after the rollout" in finding.way_out
    told = Told(rehearsed(project, before, pre(dropped), post(made)))
    # An upsert of the new release has to wait for it.
    told.no_breaks(["add-constraint"])


def test_rows_that_are_remembered(project: Project) -> None:
    """What is rolled back isn't there any more, whoever has a key of it."""
    project.installed.append("django.contrib.contenttypes")
    kind = models.ForeignKey("contenttypes.contenttype", models.SET(kind_of_post))
    before = [model("Post", kind=kind)]
    write(project, APP, [Deployed(tuple(before)), MORE])
    with project.active():
        told = Told(rehearse(Options(targets=["blog.0001"])))
    told.nothing()


# Collations

FOLDING = {
    "sqlite": "nocase",
    "postgresql": "folding",
    "mariadb": "utf8mb4_general_ci",
}[UNDER_TEST]
EXACT = "utf8mb4_bin" if UNDER_TEST == "mariadb" else None
MADE: list[Operation] = []
if UNDER_TEST == "postgresql":
    MADE = [
        CreateCollation(
            "folding", "und-u-ks-level2", provider="icu", deterministic=False
        )
    ]


def with_collation(collation: str | None) -> list[Operation]:
    # Not a unique field, for which Django makes another index on PostgreSQL.
    unique = models.UniqueConstraint(fields=["title"], name="unique_title")
    title = text(db_collation=collation)
    return [*MADE, model("Post", title=title), AddConstraint("post", unique)]


def to_collation(collation: str | None) -> AlterField:
    return AlterField("post", "title", text(db_collation=collation))


@pytest.mark.parametrize(
    ("collations", "early", "late"),
    [((EXACT, FOLDING), {"old"}, set()), ((FOLDING, EXACT), set(), {"new"})],
    ids=["folding", "exact"],
)
def test_collation_of_what_is_unique(
    collations: tuple[str | None, str | None],
    early: set[str],
    late: set[str],
    project: Project,
) -> None:
    before = with_collation(collations[0])
    for make, expected in ((pre, early), (post, late)):
        told = Told(rehearsed(project, before, make(to_collation(collations[1]))))
        assert {f.release for f in told.rehearsal.findings} == expected, told.text
        assert not told.rehearsal.not_probed, told.text
        for finding in told.rehearsal.findings:
            assert finding.severity is BREAKS
            assert (finding.model, finding.field) == ("blog.Post", "title")
            assert codes([finding]) == {"change-collation"}
            assert finding.way_out


# Models that are odd


def test_models_that_refer_to_each_other(project: Project) -> None:
    """What one of them may refer to is deleted first, by who knows nothing of it."""
    before = [
        AUTHOR,
        model("Post", author=to("author")),
        AddField("author", "best", to("post", null=True, related_name="+")),
    ]
    gone = DeleteModel("Post")
    told = Told(rehearsed(project, before, post(RemoveField("author", "best"), gone)))
    (finding,) = told.rehearsal.findings
    assert (finding.release, finding.model) == ("new", "blog.Author"), told.text
    assert finding.actions == (Action.DELETE,)
    assert finding.culprit
    assert finding.culprit.operation is gone


def test_part_of_a_row_of_which_a_release_knows_no_more(project: Project) -> None:
    """It can't be deleted by who doesn't know that there is another part."""
    link: Any = models.OneToOneField(
        "blog.post",
        models.CASCADE,
        auto_created=True,
        parent_link=True,
        primary_key=True,
        serialize=False,
    )
    child = model("Review", ("blog.post",), post_ptr=link, stars=text(null=True))
    gone = DeleteModel("Review")
    told = Told(rehearsed(project, [POST, child], post(gone)))
    (finding,) = told.rehearsal.findings
    assert (finding.release, finding.model) == ("new", "blog.Post"), told.text
    assert finding.severity is HAZARD
    assert finding.actions == (Action.DELETE,)
    assert codes([finding]) == {"delete-model-relations"}


def test_relation_that_gets_columns_of_its_own(project: Project) -> None:
    before = [
        model("Tag", name=text()),
        model("Post", title=text(), tags=models.ManyToManyField("blog.tag")),
    ]
    pair = models.UniqueConstraint(fields=["post", "tag"], name="pair")
    made = CreateModel(
        "PostTag",
        model("PostTag", post=to("post"), tag=to("tag")).fields,
        {"db_table": "blog_post_tags", "constraints": [pair]},
    )
    through = models.ManyToManyField("blog.tag", through="blog.posttag")
    weight = AddField("posttag", "weight", models.IntegerField(default=0))
    taken_over = SeparateDatabaseAndState(
        state_operations=[made, AlterField("post", "tags", through)]
    )
    told = Told(rehearsed(project, before, pre(taken_over, weight)))
    found = {(f.release, f.model) for f in told.rehearsal.findings}
    # INSERT IGNORE, by which relations are added, makes zero of NULL on MariaDB.
    assert found == ({("old", "blog.Post")} if UNDER_TEST != "mariadb" else set())
    if UNDER_TEST == "postgresql":  # Others name neither table nor column.
        assert codes(told.rehearsal.findings) == {"add-field-not-null"}, told.text
    harmless = AddField("posttag", "note", text(null=True))
    Told(rehearsed(project, before, pre(taken_over, harmless))).nothing()


@pytest.mark.skipif(UNDER_TEST != "postgresql", reason="Nobody else inserts by a view.")
def test_view_under_the_name_of_a_table(project: Project) -> None:
    sql = (
        "ALTER TABLE blog_post RENAME TO blog_article; "
        "CREATE VIEW blog_post AS SELECT * FROM blog_article"
    )
    renamed = SeparateDatabaseAndState([RunSQL(sql)], [RenameModel("Post", "Article")])
    Told(rehearsed(project, [POST], pre(renamed))).nothing()


UNMANAGED = model("Post", (), {"managed": False}, title=text())
MANAGED = AlterModelOptions("post", {"managed": True})


def test_table_that_migrations_take_over(project: Project) -> None:
    told = Told(rehearsed(project, [UNMANAGED], auto(MANAGED), MORE))
    told.no_breaks(not_probed=["Post"])
    assert [m.models for m in told.rehearsal.moments if m.point.phase is Phase.END] == [
        1
    ]


def stated(*operations: Operation) -> SeparateDatabaseAndState:
    return SeparateDatabaseAndState(state_operations=list(operations))


LEGACY = model("Legacy", (), {"managed": False}, title=text())
BY_AUTHOR = model("Post", title=text(), author=to("author"))
COPY_LEGACY = RunSQL("INSERT INTO blog_post (title) SELECT title FROM blog_legacy")
KEY = {
    "sqlite": "integer PRIMARY KEY",
    "postgresql": "bigserial PRIMARY KEY",
    "mariadb": "bigint PRIMARY KEY AUTO_INCREMENT",
}[UNDER_TEST]
TABLE = f"CREATE TABLE blog_author (id {KEY}, name varchar(20) NOT NULL)"
BY_SQL = RunSQL(TABLE)
BY_SQL_ALONE = RunSQL(
    TABLE.replace(" (id", "(id"), RunSQL.noop, state_operations=[AUTHOR]
)
BY_CODE = RunPython(
    lambda apps, editor: editor.create_model(apps.get_model("blog", "author")),
    atomic=False,  # MariaDB commits it.
)


@pytest.mark.parametrize(
    "history",
    [
        [pre(UNMANAGED, MANAGED), MORE],
        [pre(UNMANAGED), pre(MANAGED, AddField("post", "less", text(null=True)))],
        [pre(stated(AUTHOR), BY_AUTHOR)],
        [pre(stated(AUTHOR), stated(BY_AUTHOR))],
        [pre(LEGACY, POST), pre(COPY_LEGACY)],
        [pre(stated(AUTHOR)), pre(BY_SQL, POST)],
        [pre(BY_SQL, stated(AUTHOR), BY_AUTHOR)],
        [pre(BY_SQL_ALONE, BY_AUTHOR)],
        [pre(stated(AUTHOR), BY_CODE, BY_AUTHOR)],
        [pre(LEGACY, POST), pre(stated(DeleteModel("Legacy")), RunSQL("SELECT 1"))],
    ],
)
def test_replayed_tables_that_nobody_makes(
    history: list[Deployed], project: Project
) -> None:
    step = auto(AddField("post", "extra", text(null=True)))
    write(project, APP, [*history, step])
    start = f"blog.{len(history):04}"
    with project.active():
        told = Told(rehearse(Options(targets=[start], replay=True)))
    told.no_breaks()


@pytest.mark.parametrize(
    "steps",
    [
        [auto(stated(AUTHOR), AddField("post", "author", to("author", null=True)))],
        [auto(LEGACY, AddField("post", "legacy", to("legacy", null=True)))],
        [post(stated(AUTHOR))],
        [auto(BY_SQL, stated(AUTHOR))],
        [auto(BY_SQL_ALONE, AddField("author", "more", text(null=True)))],
    ],
)
def test_pending_tables_that_nobody_makes(
    steps: list[Deployed], project: Project
) -> None:
    told = Told(rehearsed(project, [POST], *steps))
    assert told.rehearsal.complete, told.text
    assert not told.rehearsal.count(BREAKS), told.text
    is_made = not {BY_SQL, BY_SQL_ALONE} & {
        o for step in steps for o in step.operations
    }
    assert bool(told.rehearsal.notes) == is_made
    assert ("No migration makes the table of" in told.text) == is_made


def test_table_that_is_another_one_s(project: Project) -> None:
    """As models of a table for reading are."""
    view = model("View", (), {"managed": False, "db_table": "blog_post"}, title=text())
    before = [POST, view, model("Note", view=to("view"))]
    told = Told(rehearsed(project, before, MORE))
    told.no_breaks()


NAMELESS = RunSQL(TABLE.replace(", name varchar(20) NOT NULL", ""))
NAMELESS_STATED = RunSQL(NAMELESS.sql, state_operations=[AUTHOR])
NAMELESS_BY_CODE = RunPython(
    lambda apps, editor: editor.execute(NAMELESS.sql),
    atomic=False,  # MariaDB commits it.
)


@pytest.mark.skipif(UNDER_TEST != "sqlite", reason="It is the same everywhere.")
@pytest.mark.parametrize(
    ("steps", "operation", "word"),
    [
        ([auto(NAMELESS, stated(AUTHOR))], NAMELESS, "Find out"),
        ([auto(NAMELESS), auto(RunSQL("SELECT 1"), stated(AUTHOR))], NAMELESS, ""),
        ([auto(NAMELESS_STATED)], NAMELESS_STATED, "what its state operations say"),
        ([auto(NAMELESS_BY_CODE, stated(AUTHOR))], None, "Find out"),
    ],
    ids=["beside", "before", "in one", "code"],
)
def test_table_that_is_made_otherwise_than_stated(
    steps: list[Deployed], operation: Operation | None, word: str, project: Project
) -> None:
    """What only says how the table is can't be to blame."""
    told = Told(rehearsed(project, [POST], *steps))
    breaks = of(told.rehearsal, BREAKS)
    assert {f.model for f in breaks} == {"blog.Author"}, told.text
    for finding in breaks:
        assert finding.culprit
        assert finding.culprit.migration.name == "0002_next"
        assert finding.culprit.operation is operation, told.text
        assert word in finding.way_out


class Softly:
    """Overrides what models have, with fewer arguments; nothing of it is run."""

    def save(self) -> None:
        raise AssertionError

    def delete(self) -> None:
        raise AssertionError


def test_methods_of_mixins_are_not_called(project: Project) -> None:
    made = CreateModel("Post", POST.fields, bases=(Softly, models.Model))
    Told(rehearsed(project, [made], MORE)).nothing()


@pytest.mark.skipif(UNDER_TEST == "mariadb", reason="It knows no deferred checks.")
def test_rows_that_protect_themselves(project: Project) -> None:
    """No application can delete them, so the deployment isn't to blame."""
    itself = to("post", on_delete=models.PROTECT)
    told = Told(rehearsed(project, [model("Post", root=itself)], MORE))
    assert told.rehearsal.complete
    assert not told.rehearsal.findings, told.text
    (item,) = told.rehearsal.not_probed
    assert "ProtectedError" in item.reason


@pytest.mark.skipif(UNDER_TEST == "mariadb", reason="It knows no deferred checks.")
def test_rows_that_need_each_other(project: Project) -> None:
    """Whatever is tried with them: not before the transaction ends they are legal."""
    before = [
        AUTHOR,
        model("Post", author=to("author"), title=text(unique=True), body=text()),
        AddField("author", "best", to("post", related_name="+")),
        AddField(
            "author", "posts", models.ManyToManyField("blog.post", related_name="+")
        ),
    ]
    Told(rehearsed(project, before, MORE)).nothing()


@pytest.mark.skipif(UNDER_TEST == "mariadb", reason="It knows no deferred checks.")
def test_rows_that_need_each_other_alone(project: Project) -> None:
    """Each needs another one of its own, so that none refers to a row that isn't."""
    one: Any = models.OneToOneField("blog.author", models.CASCADE)
    back: Any = models.OneToOneField("blog.post", models.CASCADE, related_name="+")
    itself: Any = models.OneToOneField("blog.node", models.CASCADE)
    before = [
        AUTHOR,
        model("Post", author=one, title=text()),
        AddField("author", "best", back),
        model("Node", up=itself),
    ]
    steps = [MORE, auto(AddField("node", "more", text(null=True)))]
    told = Told(rehearsed(project, before, *steps))
    told.no_breaks(not_probed=["Author", "Post"])
    assert len(told.rehearsal.not_probed) == 2, told.text
    for item in told.rehearsal.not_probed:
        assert item.reason.startswith("Upserts on"), told.text


def test_default_that_neither_release_declares(project: Project) -> None:
    """It is there as long as both releases run, and the old one relies on it."""
    number = models.IntegerField(default=5)
    bridge = AddField("post", "part", models.IntegerField(db_default=5))
    check = models.CheckConstraint(condition=~models.Q(number=77, part=5), name="odd")
    made = AddConstraint("post", check)
    steps = [pre(bridge, made), post(AlterField("post", "part", number))]
    told = Told(rehearsed(project, [NUMBERED], *steps))
    (finding,) = told.rehearsal.findings
    assert (finding.release, finding.severity) == ("old", BREAKS), told.text
    assert finding.culprit
    assert finding.culprit.operation is made, told.text
    assert not told.rehearsal.not_probed, told.text


def test_constraint_that_the_database_leaves_out(project: Project) -> None:
    """Nobody has to know how to violate it."""
    condition = models.Q(Exact(Mod(models.F("number") * 7 + 11, 9973), 17))
    odd = models.UniqueConstraint(fields=["title"], name="odd", condition=condition)
    told = Told(rehearsed(project, [NUMBERED], post(AddConstraint("post", odd))))
    told.no_breaks(not_probed=[] if UNDER_TEST == "mariadb" else ["Post.number"])


class Odd(models.BaseConstraint):
    """Of a kind that tells nobody what it is about."""

    def constraint_sql(self, model: Any, schema_editor: Any) -> Any:
        return None

    create_sql = remove_sql = constraint_sql

    def validate(self, *args: Any, **kwargs: Any) -> None:
        pass


def test_constraint_that_nobody_knows_how_to_violate(project: Project) -> None:
    names = ("odd", "even")
    step = post(*(AddConstraint("post", Odd(name=name)) for name in names))
    told = Told(rehearsed(project, [POST], step))
    told.no_breaks(not_probed=["Post"])
    # Each of them, not only the last one.
    assert all(f'"{name}"' in told.text for name in names)


STATED = [
    AlterModelOptions("post", {"ordering": ["title"]}),
    AlterField(
        "post", "title", text(help_text="What it is about", choices=[("a", "A")])
    ),
]


@pytest.mark.parametrize(("step", "count"), [(auto(*STATED), 3), (MORE, 4)])
def test_what_changes_nothing_is_not_tried_again(
    step: Deployed, count: int, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    probe = Prober.probe

    def counted(self: Prober, *args: Any, **kwargs: Any) -> Any:
        calls.append(self.release.name)
        return probe(self, *args, **kwargs)

    monkeypatch.setattr(Prober, "probe", counted)
    Told(rehearsed(project, [POST], step)).nothing()
    assert len(calls) == count


def test_reason_that_models_share_is_told_once(project: Project) -> None:
    before: Sequence[Operation] = [
        POST,
        model("One", (), {"managed": False}, name=text()),
        model("Two", (), {"managed": False}, name=text()),
    ]
    told = Told(rehearsed(project, before, MORE, all_models=True))
    assert "blog.One, blog.Two  it is unmanaged" in told.text
    assert len(told.rehearsal.not_probed) == 2
    assert not of(told.rehearsal, BREAKS)


DEFERRED = RunSQL(
    "CREATE TABLE empty (id bigint PRIMARY KEY);"
    "ALTER TABLE blog_post_tags ADD FOREIGN KEY (author_id) REFERENCES empty "
    "DEFERRABLE INITIALLY DEFERRED NOT VALID"
)


@pytest.mark.skipif(UNDER_TEST != "postgresql", reason="Its statements do that.")
def test_relation_that_is_refused_late(project: Project) -> None:
    """What was added is looked at before it is removed again."""
    tags = models.ManyToManyField("blog.author")
    before = [AUTHOR, model("Post", title=text(), tags=tags)]
    told = Told(rehearsed(project, before, pre(DEFERRED)))
    found = {action for f in told.rehearsal.findings for action in f.actions}
    assert Action.RELATE in found, told.text


# Attempts


@pytest.mark.django_db
def test_attempt_that_fails_once_is_told() -> None:
    """All are made again, with savepoints, to go on after the one that fails."""
    attempts = Attempts(connections["default"])
    calls: list[str] = []

    def insert() -> None:
        calls.append("insert")
        if len(calls) == 1:
            raise ValueError("just once")

    def both() -> None:
        attempts.attempt(Probe("old", "blog.Post", Action.INSERT, "once"), insert)
        probe = Probe("old", "blog.Post", Action.DELETE, "always")
        attempts.attempt(probe, lambda: calls.append("delete"))

    attempts.together(both)
    assert calls == ["insert", "insert", "delete"]
    assert [f.error for f in attempts.failures] == ["ValueError: just once"]
    attempts.together(both)
    assert len(attempts.failures) == 1


@pytest.mark.django_db
def test_attempts_that_fail_leave_nothing() -> None:
    connection = connections["default"]
    attempts = Attempts(connection)

    def execute(action: Action, sql: str) -> None:
        def do() -> None:
            with connection.cursor() as cursor:
                cursor.execute(sql)

        attempts.attempt(Probe("old", "", action, ""), do)

    def several() -> None:
        execute(Action.INSERT, "INSERT INTO django_migrations (app) VALUES (NULL)")
        execute(Action.UPDATE, "UPDATE django_migrations SET name = 'lost'")
        execute(Action.DELETE, "DELETE FROM no_such_table")

    count = MigrationRecorder(connection).migration_qs.filter(name="lost").count
    attempts.together(several)
    assert [f.probe.action for f in attempts.failures] == [
        Action.INSERT,
        Action.DELETE,
    ]
    assert count() == 0


# Fields that others name


COUNTRY = model("Country", code=text(unique=True, db_column="code"))
CITY = model("City", country=to("Country", to_field="code"))
PAIR = model(
    "Pair",
    pk=models.CompositePrimaryKey("left", "right"),
    left=models.IntegerField(db_column="left"),
    right=models.IntegerField(),
)


@pytest.mark.parametrize("replay", [False, True])
@pytest.mark.parametrize(
    ("before", "renamed"),
    [
        ([COUNTRY, CITY], RenameField("country", "code", "iso")),
        ([PAIR], RenameField("pair", "left", "first")),
    ],
    ids=["a foreign key", "a composite key"],
)
def test_a_field_that_another_one_names_is_renamed(
    project: Project, before: list[Operation], renamed: RenameField, replay: bool
) -> None:
    """Django renames it in what belongs to operations, which come again."""
    model_name = renamed.model_name
    later = AddField(model_name, "more", text(null=True))
    steps = (
        pre(later),
        auto(renamed),
        auto(AddField(model_name, "last", text(null=True))),
    )
    told = Told(rehearsed(project, before, *steps, replay=replay, all_models=True))
    told.no_breaks()


def test_a_column_that_a_foreign_key_refers_to_is_renamed(project: Project) -> None:
    country = model("Country", code=text(unique=True))
    renamed = RenameField("country", "code", "iso")
    told = Told(rehearsed(project, [country, CITY], pre(renamed)))
    assert "rename-column" in codes(told.rehearsal.findings)


def test_states_rename_fields_as_ever_after_a_rehearsal(project: Project) -> None:
    rename_field = ProjectState.rename_field
    rehearsed(project, [COUNTRY, CITY], pre(RenameField("country", "code", "iso")))
    assert ProjectState.rename_field is rename_field
